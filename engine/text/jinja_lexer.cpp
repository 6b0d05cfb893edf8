#include "engine/text/jinja_lexer.h"

#include <algorithm>
#include <array>

#include "engine/text/jinja_strings.h"
#include "engine/text/jinja_value.h"
#include "engine/text/utf8.h"

namespace dejavu::jinja {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_name_start(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }

// All line ends become \n, and one at the very end is dropped.
std::string normalize_lines(std::string_view source) {
  std::string out;
  for (std::size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r') {
      if (i + 1 < source.size() && source[i + 1] == '\n') continue;
      out.push_back('\n');
    } else {
      out.push_back(source[i]);
    }
  }
  if (out.ends_with('\n')) out.pop_back();
  return out;
}

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(normalize_lines(source)) {}

  std::vector<Token> run() {
    while (position_ < source_.size()) root();
    push(TokenKind::kEnd, {});
    return std::move(tokens_);
  }

 private:
  std::string_view rest() const { return std::string_view(source_).substr(position_); }
  char peek(std::size_t ahead = 0) const {
    return position_ + ahead < source_.size() ? source_[position_ + ahead] : '\0';
  }

  void advance(std::size_t bytes) {
    const auto begin = source_.begin() + static_cast<std::ptrdiff_t>(position_);
    line_ += static_cast<int>(std::count(begin, begin + static_cast<std::ptrdiff_t>(bytes), '\n'));
    position_ += bytes;
  }

  void push(TokenKind kind, std::string text) { tokens_.push_back({kind, std::move(text), line_}); }

  [[noreturn]] void fail(const std::string& what) const {
    throw TemplateError("line " + std::to_string(line_) + ": " + what);
  }

  void skip_spaces() {
    while (position_ < source_.size()) {
      const CodePoint c = decode_utf8(source_, position_);
      if (!is_python_space(c.value)) break;
      advance(c.bytes);
    }
  }

  // Text up to the next tag, and the tag.
  void root() {
    const std::size_t tag = find_tag();
    const bool line_start = position_ == 0 || source_[position_ - 1] == '\n';
    std::string text(rest().substr(0, tag - position_));
    if (tag < source_.size()) {
      const char kind = source_[tag + 1];
      strip_before_tag(text, tag, {line_start, kind != '{'});
      if (!text.empty()) push(TokenKind::kData, text);
      advance(tag - position_ + 2);
      if (peek() == '-' || peek() == '+') advance(1);
      if (kind == '#') {
        comment();
      } else if (kind == '%') {
        if (!raw()) tag_content(TokenKind::kBlockBegin, "%}");
      } else {
        tag_content(TokenKind::kVariableBegin, "}}");
      }
    } else {
      push(TokenKind::kData, text);
      advance(tag - position_);
    }
  }

  std::size_t find_tag() const {
    for (std::size_t i = position_; i + 1 < source_.size(); ++i) {
      if (source_[i] == '{' && std::string_view("{%#").find(source_[i + 1]) < 3) return i;
    }
    return source_.size();
  }

  struct Before {
    bool line_start;  // of the text
    bool block;       // the tag is a block or a comment
  };

  void strip_before_tag(std::string& text, std::size_t tag, Before before) const {
    const char sign = tag + 2 < source_.size() ? source_[tag + 2] : '\0';
    if (sign == '-') {
      text = strip(text, {}, Side::kRight);
    } else if (sign != '+' && before.block) {
      const std::size_t newline = text.rfind('\n');
      if (newline == std::string::npos && !before.line_start) return;
      const std::size_t begin = newline == std::string::npos ? 0 : newline + 1;
      if (strip(text.substr(begin), {}, Side::kLeft).empty()) text.resize(begin);
    }
  }

  void comment() {
    const std::size_t end = rest().find("#}");
    if (end == std::string_view::npos) fail("a comment is not closed");
    const char sign = end > 0 ? rest()[end - 1] : '\0';
    advance(end + 2);
    after_block(sign);
  }

  // What a closing block or comment removes behind it.
  void after_block(char sign) {
    if (sign == '-') {
      skip_spaces();
    } else if (sign != '+' && peek() == '\n') {
      advance(1);
    }
  }

  // {% raw %} … {% endraw %}; the position is behind "{%" and its sign.
  bool raw() {
    const std::size_t begin = position_;
    const int line = line_;
    skip_spaces();
    if (!rest().starts_with("raw")) return rewind(begin, line);
    advance(3);
    skip_spaces();
    const bool strips = rest().starts_with("-%}");
    if (!strips && !rest().starts_with("%}")) return rewind(begin, line);
    advance(strips ? 3 : 2);
    if (strips) skip_spaces();
    raw_text();
    return true;
  }

  bool rewind(std::size_t position, int line) {
    position_ = position;
    line_ = line;
    return false;
  }

  void raw_text() {
    const std::size_t start = position_;
    const bool line_start = source_[start - 1] == '\n';
    for (std::size_t tag = source_.find("{%", start); tag != std::string::npos;
         tag = source_.find("{%", tag + 2)) {
      std::size_t p = tag + 2;
      if (p < source_.size() && (source_[p] == '-' || source_[p] == '+')) ++p;
      const auto skip = [&] {
        while (p < source_.size() && is_python_space(static_cast<unsigned char>(source_[p]))) ++p;
      };
      skip();
      if (!std::string_view(source_).substr(p).starts_with("endraw")) continue;
      p += 6;
      skip();
      const char sign = p < source_.size() ? source_[p] : '\0';
      if (sign == '-' || sign == '+') ++p;
      if (!std::string_view(source_).substr(p).starts_with("%}")) continue;
      std::string text = source_.substr(start, tag - start);
      strip_before_tag(text, tag, {line_start, true});
      push(TokenKind::kData, text);
      advance(p + 2 - position_);
      after_block(sign);
      return;
    }
    fail("'raw' is not closed with 'endraw'");
  }

  void tag_content(TokenKind begin, std::string_view close) {
    push(begin, {});
    const bool block = begin == TokenKind::kBlockBegin;
    const int first_line = line_;
    std::string brackets;  // open ones: inside them "}}" closes no tag
    while (true) {
      skip_spaces();
      if (position_ >= source_.size()) {
        line_ = first_line;
        fail("a tag is not closed with '" + std::string(close) + "'");
      }
      const bool signed_end =
          (peek() == '-' || (block && peek() == '+')) && rest().substr(1).starts_with(close);
      if (brackets.empty() && (signed_end || rest().starts_with(close))) {
        const char sign = signed_end ? peek() : '\0';
        push(block ? TokenKind::kBlockEnd : TokenKind::kVariableEnd, {});
        advance(signed_end ? 3 : 2);
        if (block) {
          after_block(sign);
        } else if (sign == '-') {
          skip_spaces();
        }
        return;
      }
      if (is_digit(peek())) {
        number();
      } else if (is_name_start(peek())) {
        name();
      } else if (peek() == '\'' || peek() == '"') {
        string();
      } else {
        operator_token(brackets);
      }
    }
  }

  void name() {
    std::size_t n = 1;
    while (is_name_start(peek(n)) || is_digit(peek(n))) ++n;
    push(TokenKind::kName, std::string(rest().substr(0, n)));
    advance(n);
  }

  std::size_t digits_from(std::size_t at) const {
    while (is_digit(peek(at)) || (peek(at) == '_' && is_digit(peek(at + 1)))) ++at;
    return at;
  }

  void number() {
    std::size_t end = digits_from(0);
    TokenKind kind = TokenKind::kInteger;
    const bool after_dot = position_ > 0 && source_[position_ - 1] == '.';
    if (!after_dot) {
      if (peek(end) == '.' && is_digit(peek(end + 1))) {
        end = digits_from(end + 1);
        kind = TokenKind::kFloat;
      }
      const bool exponent_sign = peek(end + 1) == '+' || peek(end + 1) == '-';
      if ((peek(end) == 'e' || peek(end) == 'E') && is_digit(peek(end + (exponent_sign ? 2 : 1)))) {
        end = digits_from(end + (exponent_sign ? 2 : 1));
        kind = TokenKind::kFloat;
      }
    }
    std::string text(rest().substr(0, end));
    std::erase(text, '_');
    push(kind, std::move(text));
    advance(end);
  }

  void string() {
    const char quote = peek();
    std::size_t end = 1;
    while (position_ + end < source_.size() && peek(end) != quote) end += peek(end) == '\\' ? 2 : 1;
    if (position_ + end >= source_.size()) fail("a string is not closed");
    push(TokenKind::kString, unescape(rest().substr(1, end - 1)));
    advance(end + 1);
  }

  void operator_token(std::string& brackets) {
    constexpr std::array<std::string_view, 6> kLong = {"==", "!=", "<=", ">=", "//", "**"};
    constexpr std::string_view kShort = "+-*/%<>=.,:|()[]{}~;";
    for (const std::string_view op : kLong) {
      if (rest().starts_with(op)) {
        push(TokenKind::kOperator, std::string(op));
        return advance(2);
      }
    }
    const char c = peek();
    if (kShort.find(c) == std::string_view::npos) {
      fail("unexpected character '" +
           std::string(rest().substr(0, decode_utf8(source_, position_).bytes)) + "'");
    }
    if (c == '(' || c == '[' || c == '{') brackets.push_back(c == '(' ? ')' : c == '[' ? ']' : '}');
    if (c == ')' || c == ']' || c == '}') {
      if (brackets.empty() || brackets.back() != c) fail(std::string("unexpected '") + c + "'");
      brackets.pop_back();
    }
    push(TokenKind::kOperator, std::string(1, c));
    advance(1);
  }

  std::string source_;
  std::size_t position_ = 0;
  int line_ = 1;
  std::vector<Token> tokens_;
};

}  // namespace

std::vector<Token> tokenize(std::string_view source) { return Lexer(source).run(); }

}  // namespace dejavu::jinja
