#include "engine/text/jinja_loop.h"

namespace dejavu::jinja {

Value Loop::neighbour(bool exists, std::size_t index, std::string_view name) const {
  if (exists) return items_[index];
  return Value::undefined("there is no " + std::string(name) + " here");
}

Value Loop::attribute(std::string_view name) const {
  const auto index = static_cast<std::int64_t>(index_);
  const auto count = static_cast<std::int64_t>(items_.size());
  if (name == "index") return index + 1;
  if (name == "index0") return index;
  if (name == "revindex") return count - index;
  if (name == "revindex0") return count - index - 1;
  if (name == "first") return index == 0;
  if (name == "last") return index + 1 == count;
  if (name == "length") return count;
  if (name == "depth") return std::int64_t{1};  // it grows in recursive loops only
  if (name == "depth0") return std::int64_t{0};
  if (name == "previtem") return neighbour(index_ > 0, index_ - 1, name);
  if (name == "nextitem") return neighbour(index_ + 1 < items_.size(), index_ + 1, name);
  return Object::attribute(name);
}

}  // namespace dejavu::jinja
