// The printable characters that byte-level BPE writes bytes as (GPT-2's bytes_to_unicode).
#pragma once

#include <string>
#include <string_view>

namespace dejavu {

std::string to_byte_characters(std::string_view bytes);
// A text with a character outside the 256 stands for its own bytes.
std::string from_byte_characters(std::string_view text);

}  // namespace dejavu
