// gRPC on one TLS port: delta-ADS and certificate signing. The adapter turns every call into a task
// on the controller's thread; nothing of gRPC is known beyond this file.
//
// Owner: Controller. Start and Shutdown: the controller's thread.
#pragma once

#include <absl/status/statusor.h>

#include <memory>
#include <string>

#include "agent/controller/ca/signing.h"
#include "agent/controller/call_queue.h"
#include "agent/controller/xds/hub.h"

namespace mesh::controller {

class GrpcServer {
 public:
  struct Options {
    std::string address;   // IP:PORT; port 0 is any
    std::string key_file;  // both are watched, a renewed pair is served within seconds
    std::string certificate_file;
    bool authenticate_xds = true;  // streams need a token too
  };
  struct Parts {  // outlive the server
    CallQueue& queue;
    Hub& hub;
    SigningService& signing;
    const TokenReviewer& reviewer;
  };
  static absl::StatusOr<std::unique_ptr<GrpcServer>> Start(const Options& options, Parts parts);
  ~GrpcServer();

  int port() const;
  // Ends all streams; drains parts.queue meanwhile. At most a few seconds.
  void Shutdown();

 private:
  class Impl;
  explicit GrpcServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace mesh::controller
