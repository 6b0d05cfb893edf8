// Global functions: range, dict, namespace, raise_exception, strftime_now.
#pragma once

#include <map>
#include <string>

#include "engine/text/jinja_value.h"

namespace dejavu::jinja {

const std::map<std::string, Value>& global_functions();

// namespace(): what a loop can assign to and the code behind it still sees.
class Namespace final : public Object {
 public:
  std::string describe() const override;
  Value attribute(std::string_view name) const override;
  void clear() override { values_.clear(); }
  void set(const std::string& name, Value value);

 private:
  std::map<std::string, Value, std::less<>> values_;
};

}  // namespace dejavu::jinja
