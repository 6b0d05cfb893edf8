#include "server/http/json_body.h"

#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace dejavu {
namespace {

using nlohmann::ordered_json;
using Member = std::pair<const std::string, ordered_json>;

// ordered_json's own parser looks every key up among its siblings: quadratic in the size of an
// object. This one appends and removes duplicates once, when the object is complete.
class Builder : public nlohmann::json_sax<ordered_json> {
 public:
  bool null() override { return add(nullptr); }
  bool boolean(bool value) override { return add(value); }
  bool number_integer(number_integer_t value) override { return add(value); }
  bool number_unsigned(number_unsigned_t value) override { return add(value); }
  bool number_float(number_float_t value, const string_t& /*text*/) override { return add(value); }
  bool string(string_t& value) override { return add(std::move(value)); }
  bool binary(binary_t& /*value*/) override { return false; }

  bool start_object(std::size_t /*size*/) override { return open(ordered_json::object()); }
  bool key(string_t& name) override {
    open_.back().key = std::move(name);
    return true;
  }
  bool end_object() override {
    keep_last_of_each_key(open_.back().value.get_ref<ordered_json::object_t&>());
    return close();
  }
  bool start_array(std::size_t /*size*/) override { return open(ordered_json::array()); }
  bool end_array() override { return close(); }

  bool parse_error(std::size_t position, const std::string& /*last_token*/,
                   const nlohmann::detail::exception& error) override {
    const std::string text = error.what();
    const std::size_t detail = text.find("] ");  // behind nlohmann's own error number
    error_ = "The body is not valid JSON (byte " + std::to_string(position) +
             "): " + (detail == std::string::npos ? text : text.substr(detail + 2));
    return false;
  }

  ordered_json take() { return std::move(root_); }
  const std::string& error() const { return error_; }

 private:
  struct Open {
    ordered_json value;
    std::string key;  // of the member being read
  };

  static std::vector<Member>& members(ordered_json& object) {
    return object.get_ref<ordered_json::object_t&>();
  }

  static void keep_last_of_each_key(ordered_json::object_t& object) {
    std::unordered_map<std::string_view, std::size_t> last;
    std::vector<Member>& all = object;
    last.reserve(all.size());
    for (std::size_t i = 0; i < all.size(); ++i) last[all[i].first] = i;
    if (last.size() == all.size()) return;
    ordered_json::object_t kept;
    std::vector<Member>& out = kept;
    for (std::size_t i = 0; i < all.size(); ++i)
      if (last.at(all[i].first) == i) out.emplace_back(all[i].first, std::move(all[i].second));
    object.swap(kept);
  }

  bool open(ordered_json value) {
    if (open_.size() >= kMaxJsonDepth) {
      error_ = "The body nests more than " + std::to_string(kMaxJsonDepth) + " levels deep.";
      return false;
    }
    open_.push_back({std::move(value), {}});
    return true;
  }

  bool close() {
    ordered_json value = std::move(open_.back().value);
    open_.pop_back();
    return add(std::move(value));
  }

  bool add(ordered_json value) {
    if (open_.empty())
      root_ = std::move(value);
    else if (open_.back().value.is_array())
      open_.back().value.push_back(std::move(value));
    else
      members(open_.back().value).emplace_back(std::move(open_.back().key), std::move(value));
    return true;
  }

  ordered_json root_;
  std::vector<Open> open_;
  std::string error_;
};

}  // namespace

Result<ordered_json> parse_json_object(std::string_view body) {
  if (body.empty()) return invalid("The request has no body: send a JSON object.");
  Builder builder;
  if (!ordered_json::sax_parse(body.begin(), body.end(), &builder)) return invalid(builder.error());
  ordered_json root = builder.take();
  if (!root.is_object()) return invalid("The body must be a JSON object.");
  return root;
}

}  // namespace dejavu
