// The byte path of one worker thread: the listeners, tunnels and connections of every pod on this
// node.
//
// Owner: cmd. Thread: all methods are for the loop's thread (or before it runs); the main thread
// reaches them with loop.Post. What the constructor is given outlives the worker. Each worker is
// told of every pod of the process, because a same-node destination is served by the worker that
// accepted its client. Destroying the worker (loop not running, or on its thread) closes everything
// at once.
#pragma once

#include <absl/status/status.h>
#include <absl/time/time.h>

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "ztunnel/base/async/event_loop.h"
#include "ztunnel/core/identity/certificate_manager.h"
#include "ztunnel/core/identity/peer_verifier.h"
#include "ztunnel/core/net/host_resolver.h"
#include "ztunnel/core/state/mesh_state.h"
#include "ztunnel/core/telemetry/telemetry.h"
#include "ztunnel/tunnel/config.h"
#include "ztunnel/tunnel/demand.h"
#include "ztunnel/tunnel/pod.h"

namespace mesh::tunnel {

class Worker {
 public:
  Worker(base::EventLoop& loop, Config config, identity::CertificateManager& certificates,
         telemetry::WorkerMetrics& metrics);
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // New connections use it; live inbound and same-node connections whose policies it changes are
  // checked against it (policy_watch.h). Null until the first call: connections wait.
  void SetState(state::MeshStateRef state);
  // Before the first pod. Without it everything that exists is in the state.
  void SetDemand(Demand demand);
  // Before the first pod; outlives the worker. Without it endpoints that are known by hostname only
  // are refused.
  void SetHostResolver(net::HostResolver& hosts);
  // New peers are checked against `lists`; live tunnels and their connections too, and end with
  // reason cert_revoked. Null: nothing is revoked.
  void SetRevocations(identity::RevocationListsRef lists);

  // Opens this worker's listeners in the pod's namespace. An error leaves nothing behind.
  // AlreadyExists for a uid that is there; a uid that is draining is taken anew, its old
  // connections live on. The caller retains the pod's identity with the certificate manager for as
  // long as it is added.
  absl::Status AddPod(PodRef pod);

  enum class Removal {
    kDrain,  // listeners close, tunnels say GOAWAY, connections end by themselves
    kAbort,  // everything is closed now (the pod is gone)
  };
  // Unknown uids are fine.
  void RemovePod(std::string_view uid, Removal removal);

  // Drains every pod; what lives when `deadline` has passed is closed with reason drained. `done`
  // runs once, when nothing is left.
  void Drain(absl::Duration deadline, std::function<void()> done);

  std::vector<ActiveConnection> ActiveConnections() const;
  // Any thread.
  const identity::PeerVerifier::Counters& peer_counters() const;
  uint64_t handshakes() const;  // peers' tunnels that have not proved who they are yet
  size_t pods() const;          // enrolled, without those that drain
  size_t connections() const;   // live, all pods

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mesh::tunnel
