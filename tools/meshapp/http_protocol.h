// HTTP on one connection: HTTP/1.0 and 1.1 with keep-alive and pipelining, and HTTP/2 in clear text
// by prior knowledge or `Upgrade: h2c`. One request at a time; input waits unread meanwhile.
#pragma once

#include <optional>

#include "tools/meshapp/connection.h"
#include "tools/meshapp/service.h"

namespace mesh::meshapp {

class Http1Protocol : public Protocol {
 public:
  Http1Protocol(Connection& connection, Service& service)
      : connection_(connection), service_(service) {}
  size_t OnData(std::string_view in) override;
  void OnPeerEnd() override;
  void OnDrained() override;
  void Drain() override;

 private:
  // Bytes taken by one step; 0 when more input or the answer has to come first.
  size_t Step(std::string_view in);
  size_t StartRequest(std::string_view in);
  bool TryUpgrade();
  void Dispatch();
  void Answer(Response response);
  void SendPieces(std::shared_ptr<Response> response, unsigned next);
  void Finished();
  void Refuse(int status, std::string_view why);

  Connection& connection_;
  Service& service_;
  bool first_ = true;      // nothing was read yet: the HTTP/2 preface may come
  bool busy_ = false;      // a request waits for its answer
  bool stepping_ = false;  // inside OnData
  bool keep_alive_ = true;
  bool draining_ = false;
  Http1Head head_;
  std::optional<Http1Body> body_;  // of the request that is being read
  uint64_t filler_left_ = 0;
};

}  // namespace mesh::meshapp
