// A plain-socket HTTP/1.1 client: sends the bytes a test writes, and reads replies as they come.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace dejavu {

struct HttpReply {
  int status = 0;
  std::string head;                                   // status line and headers
  std::string body;                                   // chunked coding removed
  std::string header(const std::string& name) const;  // "" when absent; names in any case
  nlohmann::json json() const { return nlohmann::json::parse(body); }
  // The `data:` payloads of an event stream.
  std::vector<std::string> events() const;
};

class HttpClient {
 public:
  explicit HttpClient(int port, const std::string& host = "127.0.0.1");
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  void send(std::string_view bytes) const;
  HttpReply read_reply(bool head_only = false);
  // Bytes until `text` has come; fails when the connection ends before.
  std::string read_until(const std::string& text);
  bool closed_by_server();  // waits for it
  void close();

  HttpReply get(const std::string& path, const std::string& headers = {});
  HttpReply post(const std::string& path, const std::string& body, const std::string& headers = {});
  void send_post(const std::string& path, const std::string& body,
                 const std::string& headers = {}) const;

 private:
  bool receive();  // false at the end
  int socket_ = -1;
  std::string buffer_;
};

}  // namespace dejavu
