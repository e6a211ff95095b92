// One pod's namespace in the kernel: routing, maps and the inbound program, step by step.
//
// Prepare: the namespace is known, so the daemon's listeners are learned; the pod's traffic is
// untouched. Activate: from here on its traffic belongs to the mesh. Idempotent; also brings
// changed addresses and flags. Release: everything undone; what has gone with the namespace is no
// error.
//
// Owner and thread: the enroller.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "agent/node/bpf/dataplane.h"
#include "ztunnel/base/ip.h"
#include "ztunnel/base/netns.h"

namespace mesh::node {

struct CapturedPod {
  std::string uid;
  std::string netns_path;
  std::shared_ptr<const Netns> netns;  // null when it has gone, or cannot be opened for now
  uint64_t cookie = 0;
  std::vector<IpAddress> addresses;  // in mesh_pods
};

struct CaptureFlags {
  bool strict = false;
  bool bypass_inbound = false;
  bool dns = true;
  bool operator==(const CaptureFlags&) const = default;
};

// The namespace alone: nothing is changed, for a pod that an earlier agent captured.
absl::StatusOr<CapturedPod> OpenPod(const std::string& uid, const std::string& netns_path);
absl::StatusOr<CapturedPod> PreparePod(Dataplane& dataplane, const std::string& uid,
                                       const std::string& netns_path);
// `told`: the pod's addresses by its source; those on its interfaces are added.
absl::Status ActivatePod(Dataplane& dataplane, CapturedPod& pod, const std::vector<IpAddress>& told,
                         CaptureFlags flags);
absl::Status ReleasePod(Dataplane& dataplane, CapturedPod& pod);

}  // namespace mesh::node
