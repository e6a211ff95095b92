// Readiness and liveness checks of one container, as a kubelet makes them: from the node, by a
// child in the node's `kubelet` group, so that the mesh knows a check when it sees one.
#pragma once

#include <absl/time/time.h>

#include <functional>
#include <string>

#include "tools/meshctl/json.h"
#include "tools/meshctl/local/children.h"
#include "tools/meshctl/local/process.h"

namespace mesh::local {

// Where checks run, given by the pod.
struct ProbePlace {
  LaunchSpec in_node;  // netns and group of the node's kubelet; argv is filled in
  LaunchSpec in_pod;   // as the container runs; for `exec`
  std::string pod_ip;
  meshctl::Json container;  // for named ports
};

class Probe {
 public:
  // `spec` is a container's readinessProbe, livenessProbe or startupProbe; null: no check, always
  // passed.
  Probe(meshctl::Json spec, Children& children);
  ~Probe();
  Probe(const Probe&) = delete;
  Probe& operator=(const Probe&) = delete;

  bool exists() const { return spec_.IsObject(); }
  void Start(absl::Time now);  // the container was started
  void Stop();
  // Starts a check when one is due.
  void Tick(absl::Time now, const ProbePlace& place);

  bool passing() const { return !exists() || passing_; }
  // failureThreshold checks in a row went wrong.
  bool failed() const { return exists() && failed_; }
  const std::string& message() const { return message_; }

 private:
  void Finish(int code);

  meshctl::Json spec_;
  Children& children_;
  absl::Time next_ = absl::InfiniteFuture(), deadline_ = absl::InfiniteFuture();
  int pid_ = -1, successes_ = 0, failures_ = 0;
  bool passing_ = false, failed_ = false;
  std::string message_;
};

// The check itself: what `meshctl local probe` does in the child. 0 when it passed.
int RunProbe(const std::string& kind, const std::string& target, absl::Duration timeout);

}  // namespace mesh::local
