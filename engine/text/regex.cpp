#define PCRE2_CODE_UNIT_WIDTH 8
#include "engine/text/regex.h"

#include <pcre2.h>

#include "engine/text/json_part.h"
#include "engine/text/utf8.h"

namespace dejavu {
namespace {

// Backtracking steps one match may take; the published patterns need about one a character.
constexpr std::uint32_t kMatchLimit = 20'000'000;
constexpr std::uint32_t kHeapLimitKib =
    65'536;  // of the interpreter, when JIT's stack is too small

struct FreePcre {
  void operator()(pcre2_code* p) const { pcre2_code_free(p); }
  void operator()(pcre2_compile_context* p) const { pcre2_compile_context_free(p); }
  void operator()(pcre2_match_context* p) const { pcre2_match_context_free(p); }
  void operator()(pcre2_match_data* p) const { pcre2_match_data_free(p); }
};

template <class T>
using PcrePtr = std::unique_ptr<T, FreePcre>;

PCRE2_SPTR pcre_text(std::string_view text) {
  return reinterpret_cast<PCRE2_SPTR>(text.data());  // PCRE2's units are unsigned bytes
}

}  // namespace

struct Regex::Code {
  PcrePtr<pcre2_code> code;
  PcrePtr<pcre2_match_context> limits;

  // Matches in a text that is UTF-8, from `start` on.
  bool search(std::string_view text, std::size_t start, pcre2_match_data* data) const {
    int rc = pcre2_match(code.get(), pcre_text(text), text.size(), start, PCRE2_NO_UTF_CHECK, data,
                         limits.get());
    if (rc == PCRE2_ERROR_JIT_STACKLIMIT) {
      rc = pcre2_match(code.get(), pcre_text(text), text.size(), start,
                       PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, data, limits.get());
    }
    return rc > 0;
  }

  // Appends the matches of text[begin, end), which is UTF-8.
  void find_matches(std::string_view text, Span range, std::vector<Span>& out) const {
    const PcrePtr<pcre2_match_data> data(pcre2_match_data_create_from_pattern(code.get(), nullptr));
    const std::string_view run = text.substr(range.begin, range.end - range.begin);
    const PCRE2_SIZE* found = pcre2_get_ovector_pointer(data.get());
    std::size_t start = 0;
    bool matched_before = false;
    while (start <= run.size() && search(run, start, data.get())) {
      const bool empty = found[0] == found[1];
      // An empty match right behind a match would never end.
      if (empty && matched_before && found[1] == out.back().end - range.begin) {
        if (start == run.size()) break;
        start += decode_utf8(run, start).bytes;
        continue;
      }
      out.push_back({range.begin + found[0], range.begin + found[1], true});
      matched_before = true;
      start = found[1];
    }
  }
};

Regex::Regex(std::string_view pattern) {
  const std::string translated = translate_regex(pattern);
  const PcrePtr<pcre2_compile_context> context(pcre2_compile_context_create(nullptr));
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  int error = 0;
  PCRE2_SIZE offset = 0;
  auto code = std::make_shared<Code>();
  // Oniguruma's ^ and $ always match at line ends.
  code->code.reset(pcre2_compile(pcre_text(translated), translated.size(),
                                 PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE, &error, &offset,
                                 context.get()));
  if (code->code == nullptr) {
    std::string message(256, '\0');
    const int length = pcre2_get_error_message(
        error, reinterpret_cast<PCRE2_UCHAR*>(message.data()), message.size());
    message.resize(length > 0 ? static_cast<std::size_t>(length) : 0);
    throw PartError("the regular expression '" + std::string(pattern) +
                    "' does not compile: " + message + " at offset " + std::to_string(offset));
  }
  pcre2_jit_compile(code->code.get(), PCRE2_JIT_COMPLETE);  // without JIT it is only slower
  code->limits.reset(pcre2_match_context_create(nullptr));
  pcre2_set_match_limit(code->limits.get(), kMatchLimit);
  pcre2_set_heap_limit(code->limits.get(), kHeapLimitKib);
  code_ = std::move(code);
}

Regex Regex::literal(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    if (is_punctuation(static_cast<unsigned char>(c)) || c == ' ') escaped.push_back('\\');
    escaped.push_back(c);
  }
  return Regex(escaped);
}

std::vector<Span> Regex::spans(std::string_view text) const {
  std::vector<Span> matches;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = end_of_utf8(text, begin);
    if (end > begin) code_->find_matches(text, {begin, end, false}, matches);
    begin = end_of_non_utf8(text, end);
  }
  std::vector<Span> spans;
  spans.reserve(matches.size());
  std::size_t previous = 0;
  for (const Span& m : matches) {
    if (previous < m.begin) spans.push_back({previous, m.begin, false});
    spans.push_back(m);
    previous = m.end;
  }
  if (previous < text.size()) spans.push_back({previous, text.size(), false});
  return spans;
}

std::string Regex::replace(std::string_view text, std::string_view with) const {
  std::string out;
  for (const Span& s : spans(text)) {
    out.append(s.match ? with : text.substr(s.begin, s.end - s.begin));
  }
  return out;
}

}  // namespace dejavu
