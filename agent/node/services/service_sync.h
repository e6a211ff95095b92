// Keeps mesh_services as a table says, with as few writes as it takes.
//
// Owner: the node's main. Thread: one.
#pragma once

#include "agent/node/bpf/dataplane.h"
#include "agent/node/service.h"

namespace mesh::node {

class ServiceSync {
 public:
  // Takes over what an earlier agent wrote.
  explicit ServiceSync(Dataplane& dataplane)
      : dataplane_(dataplane), written_(dataplane.Services()) {}

  // What does not get into the map is tried again by the next call, and logged when that changes.
  void Apply(const ServiceTable& wanted);

 private:
  Dataplane& dataplane_;
  ServiceTable written_;
  size_t failures_ = 0;
};

}  // namespace mesh::node
