// Carries one generation call from the service to a connection.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "server/http/call_events.h"
#include "server/http/connection.h"
#include "server/http/reply_format.h"
#include "server/http/session.h"

namespace dejavu {

class CallRelay {
 public:
  struct Args {
    SessionContext& context;
    std::shared_ptr<Connection> connection;
    const HttpRequest& request;
    WireOptions wire;  // keep_alive, request_id and, for streams, the framing
  };

  CallRelay(Args args, GenerateBody body);
  ~CallRelay();
  CallRelay(const CallRelay&) = delete;
  CallRelay& operator=(const CallRelay&) = delete;

  // Serves the call to its end; false when the connection must close.
  Connection::Task<bool> run();

 private:
  // What one round of events adds to the reply.
  void take_events();
  void take_end(const CallSummary& summary);
  void take_error(const Error& error);
  void ping();
  Connection::Task<void> flush();
  std::string head(HttpResponse response) const;

  Args args_;
  std::shared_ptr<CallEvents> events_;
  std::unique_ptr<ReplyFormat> format_;
  GenerateRequest request_;
  bool stream_;
  std::string sparsity_mode_;       // empty: refused, which the call itself will say
  std::vector<TextDelta> choices_;  // of a reply that is not streamed
  std::string pending_;             // events not yet written
  bool head_sent_ = false;
  bool ended_ = false;
  bool failed_midway_ = false;
};

}  // namespace dejavu
