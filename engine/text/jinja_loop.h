// The variable `loop` inside a for loop.
#pragma once

#include <string>
#include <vector>

#include "engine/text/jinja_value.h"

namespace dejavu::jinja {

class Loop final : public Object {
 public:
  explicit Loop(std::vector<Value> items) : items_(std::move(items)) {}

  bool empty() const { return items_.empty(); }
  bool done() const { return index_ >= items_.size(); }
  void advance() { ++index_; }
  const Value& item() const { return items_[index_]; }

  std::string describe() const override { return "<LoopContext>"; }
  Value attribute(std::string_view name) const override;

 private:
  Value neighbour(bool exists, std::size_t index, std::string_view name) const;

  std::vector<Value> items_;
  std::size_t index_ = 0;
};

}  // namespace dejavu::jinja
