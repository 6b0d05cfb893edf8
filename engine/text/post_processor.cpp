#include "engine/text/post_processor.h"

namespace dejavu {
namespace {

std::int32_t read_id(const JsonPart& part, const Vocabulary& vocabulary) {
  const auto id = static_cast<std::int32_t>(part.integer(0, kMaxTokenId));
  if (!vocabulary.has(id)) part.fail("is " + std::to_string(id) + ", which is no token's id");
  return id;
}

// Each item is a special token, defined beside it, or the place of the text.
PostProcessor read_template(const JsonPart& part, const Vocabulary& vocabulary) {
  PostProcessor out;
  bool text_seen = false;
  const JsonPart single = part.at("single");
  for (const JsonPart& item : single.elements()) {
    if (const auto special = item.find("SpecialToken")) {
      const JsonPart ids = part.at("special_tokens").at(special->at("id").text()).at("ids");
      for (const JsonPart& id : ids.elements()) {
        (text_seen ? out.suffix : out.prefix).push_back(read_id(id, vocabulary));
      }
    } else if (item.find("Sequence")) {
      if (text_seen) item.fail("repeats the text, which is not supported");
      text_seen = true;
    } else {
      item.fail("must be a SpecialToken or a Sequence");
    }
  }
  if (!text_seen) single.fail("has no place for the text (no Sequence)");
  return out;
}

// BertProcessing and RobertaProcessing: ["token", id] at both ends.
PostProcessor read_pair_of_ends(const JsonPart& part, const Vocabulary& vocabulary) {
  const auto id_of = [&](std::string_view key) {
    const std::vector<JsonPart> pair = part.at(key).elements();
    if (pair.size() != 2) part.at(key).fail("must be a token and its id");
    return read_id(pair[1], vocabulary);
  };
  return {{id_of("cls")}, {id_of("sep")}};
}

}  // namespace

PostProcessor read_post_processor(const JsonPart& part, const Vocabulary& vocabulary) {
  const std::string type = part.at("type").text();
  if (type == "ByteLevel") return {};  // it changes offsets only
  if (type == "TemplateProcessing") return read_template(part, vocabulary);
  if (type == "BertProcessing" || type == "RobertaProcessing") {
    return read_pair_of_ends(part, vocabulary);
  }
  if (type != "Sequence") {
    part.fail("has the type '" + type +
              "', which is not supported; supported are Sequence, TemplateProcessing, ByteLevel, "
              "BertProcessing and RobertaProcessing");
  }
  PostProcessor all;
  for (const JsonPart& p : part.at("processors").elements()) {
    const PostProcessor step = read_post_processor(p, vocabulary);
    all.prefix.insert(all.prefix.begin(), step.prefix.begin(), step.prefix.end());
    all.suffix.insert(all.suffix.end(), step.suffix.begin(), step.suffix.end());
  }
  return all;
}

}  // namespace dejavu
