// Copies of requests for mirror clusters: sent when the request has been read whole, their answers
// thrown away.
//
// Neither the client nor the original's answer waits for a copy. Bounded: kMaxMirrors under way on
// a worker, a body of Options::retry_buffer_bytes; what is more is not mirrored, and counted.
// Thread: the loop's. Owner: Core.
#pragma once

#include <optional>

#include "ztunnel/base/async/task_set.h"
#include "ztunnel/core/net/buffer.h"
#include "ztunnel/waypoint/proxy/core.h"

namespace mesh::waypoint {

struct MirrorRequest {
  lb::ClusterRef cluster;
  http::RequestHead head;  // as the original's, its authority with -shadow
  net::Buffer body;
  std::optional<http::HeaderMap> trailers;
};

class Mirrors {
 public:
  static constexpr size_t kMaxMirrors = 1000;

  explicit Mirrors(Core& core) : core_(core) {}

  void Send(MirrorRequest request);
  void CountDropped() { ++dropped_; }
  uint64_t dropped() const { return dropped_; }

 private:
  Core& core_;
  uint64_t dropped_ = 0;
  base::TaskSet tasks_;
};

}  // namespace mesh::waypoint
