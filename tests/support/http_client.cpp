#include "tests/support/http_client.h"

#include <netdb.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <stdexcept>

namespace dejavu {
namespace {

constexpr int kTimeoutSeconds = 60;

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

}  // namespace

std::string HttpReply::header(const std::string& name) const {
  const std::string start = "\r\n" + lower(name) + ": ";
  const std::size_t at = lower(head).find(start);
  if (at == std::string::npos) return {};
  const std::size_t value = at + start.size();
  return head.substr(value, head.find("\r\n", value) - value);
}

std::vector<std::string> HttpReply::events() const {
  std::vector<std::string> found;
  constexpr std::string_view kData = "data: ";
  for (std::size_t at = body.find(kData); at != std::string::npos; at = body.find(kData, at)) {
    at += kData.size();
    found.push_back(body.substr(at, body.find("\n\n", at) - at));
  }
  return found;
}

HttpClient::HttpClient(int port, const std::string& host) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found) != 0)
    throw std::runtime_error("cannot resolve " + host);
  socket_ = ::socket(found->ai_family, found->ai_socktype, 0);
  const int failed = ::connect(socket_, found->ai_addr, found->ai_addrlen);
  freeaddrinfo(found);
  if (failed != 0) throw std::runtime_error("cannot connect");
  const timeval limit{kTimeoutSeconds, 0};
  setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
}

HttpClient::~HttpClient() { close(); }

void HttpClient::close() {
  if (socket_ >= 0) ::close(socket_);
  socket_ = -1;
}

void HttpClient::send(std::string_view bytes) const {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) throw std::runtime_error("send failed");
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
}

bool HttpClient::receive() {
  std::array<char, 65536> part{};
  const ssize_t count = ::recv(socket_, part.data(), part.size(), 0);
  if (count <= 0) return false;
  buffer_.append(part.data(), static_cast<std::size_t>(count));
  return true;
}

std::string HttpClient::read_until(const std::string& text) {
  for (;;) {
    if (const std::size_t at = buffer_.find(text); at != std::string::npos) {
      std::string out = buffer_.substr(0, at + text.size());
      buffer_.erase(0, at + text.size());
      return out;
    }
    if (!receive()) throw std::runtime_error("ended before: " + text + "; had: " + buffer_);
  }
}

HttpReply HttpClient::read_reply(bool head_only) {
  HttpReply reply;
  reply.head = read_until("\r\n\r\n");
  reply.status = std::stoi(reply.head.substr(reply.head.find(' ') + 1, 3));
  if (head_only || reply.status == 204 || reply.status == 100) return reply;
  if (reply.header("transfer-encoding") == "chunked") {
    for (;;) {
      const std::size_t size = std::stoul(read_until("\r\n"), nullptr, 16);
      while (buffer_.size() < size + 2)
        if (!receive()) throw std::runtime_error("ended within a chunk");
      reply.body += buffer_.substr(0, size);
      buffer_.erase(0, size + 2);
      if (size == 0) return reply;
    }
  }
  if (const std::string length = reply.header("content-length"); !length.empty()) {
    const std::size_t size = std::stoul(length);
    while (buffer_.size() < size)
      if (!receive()) throw std::runtime_error("ended within a body");
    reply.body = buffer_.substr(0, size);
    buffer_.erase(0, size);
    return reply;
  }
  while (receive()) {
  }
  reply.body = std::exchange(buffer_, {});
  return reply;
}

bool HttpClient::closed_by_server() {
  std::array<char, 1> byte{};
  return buffer_.empty() && ::recv(socket_, byte.data(), 1, 0) == 0;
}

HttpReply HttpClient::get(const std::string& path, const std::string& headers) {
  send("GET " + path + " HTTP/1.1\r\nHost: t\r\n" + headers + "\r\n");
  return read_reply();
}

void HttpClient::send_post(const std::string& path, const std::string& body,
                           const std::string& headers) const {
  send("POST " + path + " HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\n" + headers +
       "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
}

HttpReply HttpClient::post(const std::string& path, const std::string& body,
                           const std::string& headers) {
  send_post(path, body, headers);
  return read_reply();
}

}  // namespace dejavu
