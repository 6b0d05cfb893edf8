#include "engine/text/normalizer.h"

#include <utf8proc.h>

#include <cstdlib>
#include <iterator>
#include <memory>

#include "engine/text/byte_level.h"
#include "engine/text/pattern.h"
#include "engine/text/utf8.h"

namespace dejavu {
namespace {

// Applies `rewrite` to the parts of `text` that are UTF-8.
template <class F>
std::string rewrite_utf8(const std::string& text, F rewrite) {
  std::string out;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = end_of_utf8(text, begin);
    const std::size_t next = end_of_non_utf8(text, end);
    if (end > begin) out.append(rewrite(std::string_view(text).substr(begin, end - begin)));
    out.append(text, end, next - end);
    begin = next;
  }
  return out;
}

std::string map_unicode(std::string_view text, utf8proc_option_t options) {
  utf8proc_uint8_t* mapped = nullptr;
  const utf8proc_ssize_t size =
      utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                   static_cast<utf8proc_ssize_t>(text.size()), &mapped, options);
  const std::unique_ptr<utf8proc_uint8_t, decltype(&std::free)> owner(mapped, &std::free);
  if (size < 0) return std::string(text);  // only when memory runs out: the text is valid
  return {reinterpret_cast<const char*>(mapped), static_cast<std::size_t>(size)};
}

Normalizer unicode_form(int options) {
  const auto flags = static_cast<utf8proc_option_t>(UTF8PROC_STABLE | options);
  return [flags](const std::string& text) {
    return rewrite_utf8(text, [flags](std::string_view run) { return map_unicode(run, flags); });
  };
}

template <class F>
std::string map_characters(const std::string& text, F append) {
  return rewrite_utf8(text, [&append](std::string_view run) {
    std::string out;
    for (std::size_t i = 0; i < run.size();) {
      const CodePoint c = decode_utf8(run, i);
      append(out, c.value);
      i += c.bytes;
    }
    return out;
  });
}

std::string lowercase(const std::string& text) {
  return map_characters(text, [](std::string& out, char32_t c) {
    if (c == 0x130) {  // the one character whose full lower case has two
      out.append("i\xcc\x87");
    } else {
      append_utf8(out, static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c))));
    }
  });
}

std::string strip_accents(const std::string& text) {
  return map_characters(text, [](std::string& out, char32_t c) {
    if (!is_mark(c)) append_utf8(out, c);
  });
}

std::string strip(const std::string& text, bool left, bool right) {
  std::size_t begin = 0;
  while (left && begin < text.size()) {
    const CodePoint c = decode_utf8(text, begin);
    if (!is_space(c.value)) break;
    begin += c.bytes;
  }
  std::size_t end = begin;  // behind the last character that is no space
  for (std::size_t i = begin; i < text.size();) {
    const CodePoint c = decode_utf8(text, i);
    i += c.bytes;
    if (!right || !is_space(c.value)) end = i;
  }
  return text.substr(begin, end - begin);
}

void read_into(const JsonPart& part, std::vector<Normalizer>& steps) {
  const std::string type = part.at("type").text();
  if (type == "Sequence") {
    for (const JsonPart& p : part.at("normalizers").elements()) read_into(p, steps);
  } else if (type == "NFC") {
    steps.push_back(unicode_form(UTF8PROC_COMPOSE));
  } else if (type == "NFD") {
    steps.push_back(unicode_form(UTF8PROC_DECOMPOSE));
  } else if (type == "NFKC") {
    steps.push_back(unicode_form(UTF8PROC_COMPOSE | UTF8PROC_COMPAT));
  } else if (type == "NFKD") {
    steps.push_back(unicode_form(UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT));
  } else if (type == "Lowercase") {
    steps.emplace_back(lowercase);
  } else if (type == "StripAccents") {
    steps.emplace_back(strip_accents);
  } else if (type == "ByteLevel") {
    steps.emplace_back(to_byte_characters);
  } else if (type == "Strip") {
    const bool left = part.boolean_or("strip_left", true);
    const bool right = part.boolean_or("strip_right", true);
    steps.emplace_back([=](const std::string& text) { return strip(text, left, right); });
  } else if (type == "Prepend") {
    const std::string prefix = part.at("prepend").text();
    steps.emplace_back(
        [=](const std::string& text) { return text.empty() ? text : prefix + text; });
  } else if (type == "Replace") {
    const Regex pattern = read_pattern(part.at("pattern"));
    const std::string content = part.at("content").text();
    steps.emplace_back([=](const std::string& text) { return pattern.replace(text, content); });
  } else {
    part.fail("has the type '" + type +
              "', which is not supported; supported are Sequence, NFC, NFD, NFKC, NFKD, Lowercase, "
              "Strip, StripAccents, Prepend, Replace and ByteLevel");
  }
}

}  // namespace

std::vector<Normalizer> read_normalizers(const JsonPart& part) {
  std::vector<Normalizer> steps;
  read_into(part, steps);
  return steps;
}

}  // namespace dejavu
