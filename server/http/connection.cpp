#include "server/http/connection.h"

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/http/read.hpp>
#include <utility>

namespace dejavu {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using namespace std::chrono_literals;

constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);
constexpr std::size_t kReadBytes = 16 << 10;
constexpr std::size_t kPipelinedBytes = 256 << 10;
constexpr std::size_t kWriteSlice = 256 << 10;
constexpr auto kWriteStall = 60s;
constexpr auto kLinger = 2s;

}  // namespace

Connection::Connection(asio::ip::tcp::socket socket)
    : socket_(std::move(socket)),
      buffer_(kPipelinedBytes + kMaxHeadBytes),
      deadline_(socket_.get_executor()),
      sleep_(socket_.get_executor()) {
  ErrorCode ignored;
  socket_.set_option(asio::ip::tcp::no_delay(true), ignored);
  socket_.set_option(asio::socket_base::keep_alive(true), ignored);
}

void Connection::start_deadline(Clock::duration limit) {
  expired_ = false;
  const unsigned count = ++deadline_count_;
  deadline_.expires_after(limit);
  deadline_.async_wait([self = shared_from_this(), count](ErrorCode error) {
    if (error || count != self->deadline_count_) return;
    self->expired_ = true;
    ErrorCode ignored;
    self->socket_.cancel(ignored);
  });
}

bool Connection::stop_deadline() {
  ++deadline_count_;
  deadline_.cancel();
  return expired_;
}

Connection::Task<bool> Connection::wait_for_request(Clock::duration idle_limit) {
  start_deadline(idle_limit);
  idle_ = true;
  answered_ = false;
  while (!stopping_) {
    // Empty lines before a request are skipped (RFC 9112, 2.2).
    const auto* bytes = static_cast<const char*>(buffer_.data().data());
    const std::size_t blank = static_cast<std::size_t>(
        std::find_if(bytes, bytes + buffer_.size(), [](char c) { return c != '\r' && c != '\n'; }) -
        bytes);
    buffer_.consume(blank);
    if (buffer_.size() > 0) break;
    const auto [error, count] =
        co_await socket_.async_read_some(buffer_.prepare(kReadBytes), kAwait);
    buffer_.commit(count);
    if (error) break;
  }
  idle_ = false;
  stop_deadline();
  co_return buffer_.size() > 0 && !stopping_;
}

Connection::Task<Connection::ErrorCode> Connection::read_head(Parser& parser,
                                                              Clock::duration limit) {
  start_deadline(limit);
  const auto [error, count] = co_await http::async_read_header(socket_, buffer_, parser, kAwait);
  co_return stop_deadline() ? ErrorCode(asio::error::timed_out) : error;
}

Connection::Task<Connection::ErrorCode> Connection::read_body(Parser& parser,
                                                              Clock::duration limit) {
  start_deadline(limit);
  const auto [error, count] = co_await http::async_read(socket_, buffer_, parser, kAwait);
  co_return stop_deadline() ? ErrorCode(asio::error::timed_out) : error;
}

Connection::Task<bool> Connection::write(std::string_view bytes) {
  answered_ = true;
  while (!bytes.empty() && !gone_) {
    const std::string_view slice = bytes.substr(0, kWriteSlice);
    start_deadline(kWriteStall);
    const auto [error, count] =
        co_await asio::async_write(socket_, asio::buffer(slice.data(), slice.size()), kAwait);
    if (stop_deadline() || error) gone_ = true;
    bytes.remove_prefix(slice.size());
  }
  co_return !gone_;
}

void Connection::start_watch() {
  watch_stopping_ = false;
  watch();
}

void Connection::watch() {
  if (watch_stopping_ || buffer_.size() >= kPipelinedBytes) return;
  watching_ = true;
  auto on_read = [self = shared_from_this()](ErrorCode error, std::size_t count) {
    self->watching_ = false;
    self->buffer_.commit(count);
    if (!error) return self->watch_stopping_ ? self->signal() : self->watch();
    if (error != asio::error::operation_aborted) self->gone_ = true;
    self->signal();
  };
  socket_.async_read_some(buffer_.prepare(kReadBytes),
                          asio::bind_cancellation_slot(watch_stop_.slot(), std::move(on_read)));
}

Connection::Task<void> Connection::stop_watch() {
  watch_stopping_ = true;
  if (watching_) watch_stop_.emit(asio::cancellation_type::all);
  while (watching_) co_await pause(Clock::time_point::max());
}

Connection::Task<void> Connection::pause(Clock::time_point until) {
  if (!signaled_) {
    sleep_.expires_at(until);
    co_await sleep_.async_wait(kAwait);
  }
  signaled_ = false;
}

void Connection::signal() {
  signaled_ = true;
  sleep_.cancel();
}

void Connection::post_signal() {
  asio::post(socket_.get_executor(), [self = shared_from_this()] { self->signal(); });
}

void Connection::post_stop() {
  asio::post(socket_.get_executor(), [self = shared_from_this()] {
    self->stopping_ = true;
    if (self->idle_) self->socket_.cancel();
    self->signal();
  });
}

Connection::Task<void> Connection::linger() {
  ErrorCode error;
  socket_.shutdown(asio::ip::tcp::socket::shutdown_send, error);
  start_deadline(kLinger);
  buffer_.clear();
  while (!error && !gone_ && !expired_ && !stopping_) {
    const auto [read_error, count] =
        co_await socket_.async_read_some(buffer_.prepare(kReadBytes), kAwait);
    error = read_error;
  }
  stop_deadline();
}

void Connection::close() {
  ErrorCode ignored;
  gone_ = true;
  socket_.shutdown(asio::ip::tcp::socket::shutdown_both, ignored);
  socket_.close(ignored);
  signal();
}

}  // namespace dejavu
