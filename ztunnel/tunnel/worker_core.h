// What the parts of one worker share, and the live connections that it can end.
#pragma once

#include <absl/random/random.h>

#include <atomic>
#include <list>
#include <memory>
#include <optional>
#include <string>

#include "ztunnel/base/async/event_loop.h"
#include "ztunnel/base/string_map.h"
#include "ztunnel/core/authz/policy.h"
#include "ztunnel/core/hbone/connection.h"
#include "ztunnel/core/identity/certificate_manager.h"
#include "ztunnel/core/identity/peer_verifier.h"
#include "ztunnel/core/net/buffer.h"
#include "ztunnel/core/net/connect.h"
#include "ztunnel/core/net/host_resolver.h"
#include "ztunnel/core/state/mesh_state.h"
#include "ztunnel/tunnel/config.h"
#include "ztunnel/tunnel/demand.h"
#include "ztunnel/tunnel/pod.h"
#include "ztunnel/tunnel/policy_watch.h"
#include "ztunnel/tunnel/relay.h"

namespace mesh::tunnel {

class PodRuntime;

struct WorkerCore {
  WorkerCore(base::EventLoop& l, Config c, identity::CertificateManager& m,
             telemetry::WorkerMetrics& t);
  ~WorkerCore();

  base::EventLoop& loop;
  const Config config;
  identity::CertificateManager& certificates;
  telemetry::WorkerMetrics& metrics;
  state::MeshStateRef state;
  Demand demand;                       // null: the state is complete
  net::HostResolver* hosts = nullptr;  // null: endpoints known by hostname only are refused
  net::SharedBuffers buffers;
  int newest_descriptor = 0;  // the kernel gives the lowest that is free: says how many are in use
  identity::PeerVerifier verifier;
  std::atomic<uint64_t> handshakes{0};  // peers' tunnels that are not open yet; written here alone
  absl::BitGen random;
  StringMap<std::unique_ptr<PodRuntime>> pods;      // by uid
  std::list<std::unique_ptr<PodRuntime>> draining;  // removed, with connections left
  PolicyWatch policy_watch{*this};

  // The pod of this process that is this workload; null when it is elsewhere, or no pod at all.
  PodRef FindLocalPod(const state::Workload& workload) const;
  state::WorkloadRef WorkloadOf(const Pod& pod) const;
  bool IsIllegalPort(uint16_t port) const;
  net::SocketOptions AppSocketOptions() const;
  net::SocketOptions TunnelSocketOptions() const;
  // The application sees `source` as its client: where that is configured, and where it can be, as
  // an address of the other family or of the application's own pod cannot.
  void ConnectAs(const IpAddress& source, net::ConnectTarget& app) const;
  // What the tunnels of both sides have in common; of a client as it stands.
  hbone::Connection::Options TunnelOptions() const;

  std::list<base::Event*> state_waiters;  // set when the next state has come
  StringMap<PodRef> by_workload;          // uid of the workload: enrolled pods
};

// One application connection from accept to end: in its pod's list, counted, and endable from
// outside. Lives in the frame of the task that serves it.
class LiveConnection {
 public:
  LiveConnection(WorkerCore& core, PodRuntime& pod, telemetry::Direction direction);
  ~LiveConnection();
  LiveConnection(const LiveConnection&) = delete;
  LiveConnection& operator=(const LiveConnection&) = delete;

  ActiveConnection info;
  // What policy is asked about, by PolicyWatch.
  struct Subject {
    state::WorkloadRef destination;
    authz::Connection connection;
  };
  std::optional<Subject> subject;
  PolicyWatch::Place watched;   // PolicyWatch's
  std::string destination_uid;  // same node: the other pod
  identity::PeerRef peer;       // who is at the other end of its tunnel; null: it has none yet
  telemetry::ConnectionRecord* record = nullptr;

  // Runs the relay to its end; ended at once when Abort came before.
  base::Task<absl::Status> Run(Relay& relay);
  void Abort(absl::Status status);

 private:
  WorkerCore& core_;
  std::list<LiveConnection*>& list_;
  std::list<LiveConnection*>::iterator place_;
  Relay* relay_ = nullptr;
  std::optional<absl::Status> aborted_;
};

// The pod's own workload; waits for it to become known (Config::workload_wait), else null.
base::Task<state::WorkloadRef> WaitForWorkload(WorkerCore& core, PodRef pod);

}  // namespace mesh::tunnel
