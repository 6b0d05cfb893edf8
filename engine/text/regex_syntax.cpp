// Oniguruma syntax to PCRE2's, where the two read the same characters differently.
#include "engine/text/json_part.h"
#include "engine/text/regex.h"

namespace dejavu {
namespace {

class Translator {
 public:
  explicit Translator(std::string_view pattern) : pattern_(pattern) {}

  std::string run() {
    while (position_ < pattern_.size()) {
      if (pattern_[position_] == '\\') {
        escape(false);
      } else if (pattern_[position_] == '[') {
        character_class();
      } else if (starts_with("(?") && option_group()) {
        continue;
      } else {
        copy(1);
      }
    }
    return std::move(out_);
  }

 private:
  bool starts_with(std::string_view text) const {
    return pattern_.substr(position_).starts_with(text);
  }

  void copy(std::size_t bytes) {
    const std::string_view part = pattern_.substr(position_, bytes);
    out_.append(part);
    position_ += part.size();
  }

  [[noreturn]] void refuse(std::string_view construct) const {
    throw PartError("the regular expression '" + std::string(pattern_) + "' uses " +
                    std::string(construct) + ", which is not supported");
  }

  void escape(bool in_class) {
    if (position_ + 1 >= pattern_.size()) refuse("a backslash at its end");
    const char c = pattern_[position_ + 1];
    std::string_view members;  // of the class that Oniguruma means
    switch (c) {
      case 's':
        members = "\\p{White_Space}";
        break;
      case 'S':
        out_.append("\\P{White_Space}");
        position_ += 2;
        return;
      case 'w':
      case 'W':
        members = "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}";
        break;
      case 'h':
      case 'H':
        members = "0-9a-fA-F";
        break;
      default:
        copy(2);
        return;
    }
    const bool negated = c == 'W' || c == 'H';
    if (in_class && negated) refuse(std::string("\\") + c + " inside a character class");
    if (!in_class) out_.append(negated ? "[^" : "[");
    out_.append(members);
    if (!in_class) out_.push_back(']');
    position_ += 2;
  }

  // A class may hold classes: a plain one inside means its members.
  void character_class() {
    int depth = 0;
    do {
      const char c = pattern_[position_];
      if (c == '\\') {
        escape(true);
      } else if (starts_with("&&")) {
        refuse("&& inside a character class");
      } else if (starts_with("[:")) {
        posix_class();
      } else if (c == '[') {
        open_class(++depth);
      } else if (c == ']') {
        if (--depth == 0) out_.push_back(']');
        ++position_;
      } else {
        copy(1);
      }
    } while (depth > 0 && position_ < pattern_.size());
  }

  void open_class(int depth) {
    ++position_;
    if (depth > 1) {
      if (starts_with("^")) refuse("a negated character class inside another");
      return;
    }
    out_.push_back('[');
    if (starts_with("^")) copy(1);
    if (starts_with("]")) {  // first in a class it is a member
      out_.append("\\]");
      ++position_;
    }
  }

  void posix_class() {
    const std::size_t end = pattern_.find(":]", position_);
    if (end == std::string_view::npos) refuse("'[:' without ':]'");
    copy(end + 2 - position_);
  }

  // (?m) lets the dot match line ends, which PCRE2 calls (?s).
  bool option_group() {
    std::size_t end = position_ + 2;
    while (end < pattern_.size() && std::string_view("imx-").find(pattern_[end]) < 4) ++end;
    if (end == position_ + 2 || end >= pattern_.size()) return false;
    if (pattern_[end] != ':' && pattern_[end] != ')') return false;
    for (; position_ < end; ++position_) {
      out_.push_back(pattern_[position_] == 'm' ? 's' : pattern_[position_]);
    }
    return true;
  }

  std::string_view pattern_;
  std::size_t position_ = 0;
  std::string out_;
};

}  // namespace

std::string translate_regex(std::string_view pattern) { return Translator(pattern).run(); }

}  // namespace dejavu
