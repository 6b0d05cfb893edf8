// The endpoints that answer at once: models, tokenizer, template, probes, metrics, documents.
#pragma once

#include "server/admin/metrics.h"
#include "server/generation_service.h"
#include "server/http/live_feed.h"
#include "server/http/message.h"
#include "server/http/router.h"

namespace dejavu {

class Api {
 public:
  Api(GenerationService& service, Metrics& metrics, LiveFeed& live)
      : service_(service), metrics_(metrics), live_(live) {}

  // Every endpoint but completions and chat. Any thread.
  HttpResponse handle(const Route& route, const HttpRequest& request) const;

 private:
  HttpResponse models() const;
  HttpResponse model(const std::string& id) const;
  HttpResponse tokenize(const std::string& body) const;
  HttpResponse detokenize(const std::string& body) const;
  HttpResponse apply_template(const std::string& body) const;
  HttpResponse sparsity() const;
  HttpResponse health() const;
  HttpResponse ready() const;
  HttpResponse page(const Route& route, const HttpRequest& request) const;

  GenerationService& service_;
  Metrics& metrics_;
  LiveFeed& live_;
};

}  // namespace dejavu
