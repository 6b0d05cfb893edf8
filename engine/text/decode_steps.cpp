#include "engine/text/decode_steps.h"

#include "engine/text/bpe.h"
#include "engine/text/byte_level.h"
#include "engine/text/utf8.h"

namespace dejavu {
namespace {

class JoinWithSpaces final : public DecodeStep {
 public:
  void append(const Fragment& in, std::vector<Fragment>& out) override {
    out.push_back({first_ ? in.text : " " + in.text, true});
    first_ = false;
  }

 private:
  bool first_ = true;
};

class ByteLevel final : public DecodeStep {
 public:
  void append(const Fragment& in, std::vector<Fragment>& out) override {
    emit(text_.append(from_byte_characters(in.text)), out);
  }
  void finish(std::vector<Fragment>& out) override { emit(text_.finish(), out); }

 private:
  void emit(std::string text, std::vector<Fragment>& out) {
    if (text.empty()) return;
    out.push_back({std::move(text), first_});
    first_ = false;
  }

  Utf8Assembler text_;
  bool first_ = true;
};

class ByteFallback final : public DecodeStep {
 public:
  void append(const Fragment& in, std::vector<Fragment>& out) override {
    if (const auto byte = byte_of_token(in.text)) {
      run_.push_back(static_cast<char>(*byte));
    } else {
      finish(out);
      out.push_back(in);
    }
  }
  void finish(std::vector<Fragment>& out) override {
    if (run_.empty()) return;
    if (is_utf8(run_)) {
      out.push_back({run_, true});
    } else {
      out.insert(out.end(), run_.size(), {std::string(kReplacementCharacter), true});
    }
    run_.clear();
  }

 private:
  std::string run_;
};

class Fuse final : public DecodeStep {
 public:
  void append(const Fragment& in, std::vector<Fragment>& out) override {
    out.push_back({in.text, first_});
    first_ = false;
  }

 private:
  bool first_ = true;
};

class Gather final : public DecodeStep {
 public:
  void append(const Fragment& in, std::vector<Fragment>&) override { token_ += in.text; }
  void finish(std::vector<Fragment>& out) override { out.push_back({std::move(token_), true}); }

 private:
  std::string token_;
};

class Replace final : public DecodeStep {
 public:
  Replace(Regex pattern, std::string content)
      : pattern_(std::move(pattern)), content_(std::move(content)) {}
  void append(const Fragment& in, std::vector<Fragment>& out) override {
    out.push_back({pattern_.replace(in.text, content_), in.begins_token});
  }

 private:
  Regex pattern_;
  std::string content_;
};

class Strip final : public DecodeStep {
 public:
  Strip(std::string character, std::size_t start, std::size_t stop)
      : character_(std::move(character)), start_(start), stop_(stop) {}

  void append(const Fragment& in, std::vector<Fragment>& out) override {
    if (in.begins_token) {
      held_.clear();  // the last token's end: stripped
      to_strip_ = start_;
    }
    std::string_view text = in.text;
    while (to_strip_ > 0 && text.starts_with(character_)) {
      text.remove_prefix(character_.size());
      --to_strip_;
    }
    if (!text.empty()) to_strip_ = 0;
    held_.append(text);
    std::size_t kept = 0;  // trailing characters that may turn out to be the token's end
    std::size_t end = held_.size();
    while (kept < stop_ && std::string_view(held_).substr(0, end).ends_with(character_)) {
      end -= character_.size();
      ++kept;
    }
    out.push_back({held_.substr(0, end), in.begins_token});
    held_.erase(0, end);
  }

 private:
  std::string character_;
  std::size_t start_;
  std::size_t stop_;
  std::size_t to_strip_ = 0;
  std::string held_;
};

class Metaspace final : public DecodeStep {
 public:
  Metaspace(std::string replacement, bool drop_first)
      : replacement_(std::move(replacement)), drop_first_(drop_first) {}
  void append(const Fragment& in, std::vector<Fragment>& out) override {
    if (in.begins_token) ++tokens_;
    const bool drop = drop_first_ && tokens_ == 1;
    out.push_back({replace_all(in.text, replacement_, drop ? "" : " "), in.begins_token});
  }

 private:
  std::string replacement_;
  bool drop_first_;
  std::size_t tokens_ = 0;
};

}  // namespace

std::unique_ptr<DecodeStep> make_join_with_spaces() { return std::make_unique<JoinWithSpaces>(); }
std::unique_ptr<DecodeStep> make_byte_level() { return std::make_unique<ByteLevel>(); }
std::unique_ptr<DecodeStep> make_byte_fallback() { return std::make_unique<ByteFallback>(); }
std::unique_ptr<DecodeStep> make_fuse() { return std::make_unique<Fuse>(); }
std::unique_ptr<DecodeStep> make_gather() { return std::make_unique<Gather>(); }

std::unique_ptr<DecodeStep> make_replace(Regex pattern, std::string content) {
  return std::make_unique<Replace>(std::move(pattern), std::move(content));
}

std::unique_ptr<DecodeStep> make_strip(std::string character, std::size_t start, std::size_t stop) {
  return std::make_unique<Strip>(std::move(character), start, stop);
}

std::unique_ptr<DecodeStep> make_metaspace(std::string replacement, bool drop_first) {
  return std::make_unique<Metaspace>(std::move(replacement), drop_first);
}

std::string replace_all(std::string_view text, std::string_view what, std::string_view with) {
  std::string out;
  std::size_t begin = 0;
  for (std::size_t at = text.find(what); at != std::string_view::npos;
       at = text.find(what, begin)) {
    out.append(text.substr(begin, at - begin)).append(with);
    begin = at + what.size();
  }
  out.append(text.substr(begin));
  return out;
}

}  // namespace dejavu
