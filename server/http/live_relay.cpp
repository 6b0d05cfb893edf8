#include "server/http/live_relay.h"

#include <utility>

#include "server/http/error_body.h"

namespace dejavu {
namespace {

constexpr std::string_view kLines = "application/x-ndjson";

HttpResponse full() {
  return error_response(Error{ErrorCode::kResourceExhausted,
                              "Too many clients follow the live figures; ask for single readings.",
                              {},
                              "too_many_listeners"});
}

HttpResponse line_stream() {
  HttpResponse response;
  response.content_type = kLines;
  response.headers = {
      {"Cache-Control", "no-store"}, {"X-Accel-Buffering", "no"}, {"Vary", "Accept"}};
  return response;
}

}  // namespace

bool wants_live_stream(const HttpRequest& request) {
  return request.method == "GET" && request.header("accept").find(kLines) != std::string_view::npos;
}

Connection::Task<bool> relay_live(SessionContext& context, std::shared_ptr<Connection> connection,
                                  const HttpRequest& request, WireOptions wire) {
  const LiveFeed::Seat seat = context.live.take_seat();
  HttpResponse response = seat ? line_stream() : full();
  context.gate.add_cors_headers(request, response);
  if (!seat) {
    wire.framing = Framing::kLength;
    const bool written = co_await connection->write(response_text(response, wire));
    co_return written&& wire.keep_alive;
  }
  wire.keep_alive = false;
  connection->start_watch();
  co_await connection->write(response_text(response, wire));
  std::uint64_t sent = 0;
  while (!connection->gone() && !context.stopping) {
    // A write that takes long only means that the next reading is a newer one.
    if (const LiveFeed::Reading reading = context.live.latest(); reading.number != sent) {
      sent = reading.number;
      co_await connection->write(chunk_text(*reading.json + "\n", wire.framing));
    }
    co_await connection->pause(Connection::Clock::now() + LiveFeed::kInterval);
  }
  if (!connection->gone()) co_await connection->write(chunk_text({}, wire.framing));
  co_await connection->stop_watch();
  co_return false;
}

}  // namespace dejavu
