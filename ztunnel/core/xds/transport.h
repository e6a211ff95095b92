// The seam between discovery and the network: one bidirectional stream at a time. All calls and all
// callbacks are on the loop's thread; callbacks are never made from within a call.
#pragma once

#include <absl/status/statusor.h>

#include <memory>

#include "ztunnel/base/async/event_loop.h"
#include "ztunnel/core/identity/control_plane.h"
#include "ztunnel/core/xds/delta_client.h"

namespace mesh::xds {

class StreamListener {
 public:
  virtual ~StreamListener() = default;
  // One at a time: the next comes after ReadNext().
  virtual void OnMessage(Response response) = 0;
  // Once, the last. May destroy the stream.
  virtual void OnClosed(const absl::Status& status) = 0;
};

// Destroying a stream cancels it and waits for its callbacks in other threads to end.
class Stream {
 public:
  virtual ~Stream() = default;
  virtual void Send(Request request) = 0;
  virtual void ReadNext() = 0;
};

class Transport {
 public:
  virtual ~Transport() = default;
  // Begins to connect; the first message is read at once. Fails only for what is known without the
  // network: a file that cannot be read, a bad address.
  virtual absl::StatusOr<std::unique_ptr<Stream>> Open(StreamListener& listener) = 0;
};

// gRPC to the control plane. `loop` outlives the transport and its streams.
std::unique_ptr<Transport> MakeGrpcTransport(base::EventLoop& loop, identity::ControlPlane plane);

}  // namespace mesh::xds
