// One accepted socket: timed reads and writes, the watch for a client that hangs up, and the signal
// that wakes its coroutine. Everything runs on the socket's strand except where noted.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <chrono>
#include <memory>
#include <string_view>

namespace dejavu {

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  using Clock = std::chrono::steady_clock;
  using ErrorCode = boost::system::error_code;
  template <class T>
  using Task = boost::asio::awaitable<T>;
  using Parser = boost::beast::http::request_parser<boost::beast::http::string_body>;

  static constexpr std::size_t kMaxHeadBytes = 32 << 10;

  explicit Connection(boost::asio::ip::tcp::socket socket);

  // Waits for the first byte of a request; false when none came in time or the client left.
  Task<bool> wait_for_request(Clock::duration idle_limit);
  // These fail with asio::error::timed_out after `limit`.
  Task<ErrorCode> read_head(Parser& parser, Clock::duration limit);
  Task<ErrorCode> read_body(Parser& parser, Clock::duration limit);
  // False when the client is gone or took nothing for a minute.
  Task<bool> write(std::string_view bytes);

  // Reads ahead (a pipelined request stays for later) so that a hang-up is seen at once: gone()
  // turns true and the coroutine is signalled. No other read may run meanwhile.
  void start_watch();
  Task<void> stop_watch();
  bool gone() const { return gone_; }
  // Whether the present request was answered, in part at least.
  bool answered() const { return answered_; }

  // Sleeps until signal() or `until`.
  Task<void> pause(Clock::time_point until);
  void signal();
  // Any thread.
  void post_signal();
  // Any thread: an idle connection closes at once, a busy one is signalled and finishes.
  void post_stop();

  // Lets the client read what was sent although it still sends: closing at once could reset the
  // connection under it.
  Task<void> linger();
  void close();

 private:
  void watch();
  void start_deadline(Clock::duration limit);
  // Whether the operation it guarded was cut short.
  bool stop_deadline();

  boost::asio::ip::tcp::socket socket_;
  boost::beast::flat_buffer buffer_;
  boost::asio::steady_timer deadline_;
  boost::asio::steady_timer sleep_;
  boost::asio::cancellation_signal watch_stop_;
  unsigned deadline_count_ = 0;  // tells a late expiry from the current one
  bool expired_ = false;
  bool signaled_ = false;
  bool idle_ = false;  // between two requests
  bool stopping_ = false;
  bool watching_ = false;
  bool watch_stopping_ = false;
  bool gone_ = false;
  bool answered_ = false;
};

}  // namespace dejavu
