// One pod on one worker: its listeners, tunnels and the tasks of its connections.
//
// Owner: WorkerCore. Destroying it closes everything at once.
#pragma once

#include <list>
#include <memory>
#include <optional>

#include "ztunnel/base/async/task_set.h"
#include "ztunnel/core/hbone/pool.h"
#include "ztunnel/core/net/listener.h"
#include "ztunnel/tunnel/worker_core.h"

namespace mesh::tunnel {

class ServerTunnel;

// Where a tunnel is held; it knows by itself, so that moving one costs the same however many there
// are.
using Tunnels = std::list<std::unique_ptr<ServerTunnel>>;
struct TunnelPlace {
  Tunnels* list = nullptr;
  Tunnels::iterator at;
};

class PodRuntime final : public base::Deferred {
 public:
  PodRuntime(WorkerCore& core, PodRef pod);
  ~PodRuntime() override;

  absl::Status Listen();
  // No new connections after those that wait to be accepted; tunnels say GOAWAY; what is there goes
  // on.
  void Drain();
  // Nothing is left of what Drain left, and peers have had the time to hear that no more is wanted.
  bool Idle() const;

  // Ends tunnels and connections whose peer's certificate the present lists take back.
  void CloseRevoked();

  void AddTunnel(net::Socket socket, std::unique_ptr<tls::Session> tls);
  void TunnelOpened(ServerTunnel& tunnel);
  void TunnelClosed(ServerTunnel& tunnel);
  // At the limit, or with more than its share while descriptors are scarce.
  bool FullOfConnections() const;
  void Spawn(base::Task<void> task) { tasks_.Start(std::move(task)); }

  WorkerCore& core;
  const PodRef pod;
  std::list<LiveConnection*> live;

 private:
  using Serve = base::Task<void> (*)(WorkerCore&, PodRuntime&, net::Socket);
  absl::Status ListenOn(std::optional<net::Listener>& listener, uint16_t port, bool transparent,
                        Serve serve);
  void Accept(net::Socket socket, Serve serve);
  absl::Status HasRoomFor(Serve serve) const;
  void DrainTunnel(ServerTunnel& tunnel);
  void Move(ServerTunnel& tunnel, Tunnels& to);
  void MakeRoomForHandshake();
  void EndOldestHandshake(size_t limit, std::string_view whose);
  void CountHandshakes(int change);
  void RunDeferred() override;

  std::optional<net::Listener> outbound_;
  std::optional<net::Listener> plaintext_;
  std::optional<net::Listener> hbone_;
  Tunnels handshaking_;  // oldest first
  Tunnels tunnels_;      // open, or closing
  Tunnels dead_tunnels_;
  bool draining_ = false;
  absl::Time told_by_ = absl::InfinitePast();  // draining: when the peers of tunnels know

 public:
  hbone::Pool pool;

 private:
  base::TaskSet tasks_;  // ends first: tasks use all of the above
};

}  // namespace mesh::tunnel
