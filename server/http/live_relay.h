// Streams the live feed to one connection, a line of JSON a reading, until the client leaves or the
// server stops.
#pragma once

#include "server/http/connection.h"
#include "server/http/session.h"

namespace dejavu {

// The client asks for the stream instead of one reading.
bool wants_live_stream(const HttpRequest& request);

// True when the connection can serve another request: the stream was refused.
Connection::Task<bool> relay_live(SessionContext& context, std::shared_ptr<Connection> connection,
                                  const HttpRequest& request, WireOptions wire);

}  // namespace dejavu
