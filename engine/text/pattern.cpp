#include "engine/text/pattern.h"

namespace dejavu {

Regex read_pattern(const JsonPart& part) {
  const auto regex = part.find("Regex");
  try {
    return regex ? Regex(regex->text()) : Regex::literal(part.at("String").text());
  } catch (const PartError& e) {
    part.fail(std::string("cannot be used: ") + e.what());
  }
}

}  // namespace dejavu
