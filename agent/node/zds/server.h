// The agent's end of the pod hand-over: listens on a unix socket, gives each ztunnel that connects
// the snapshot of this node's pods, then what changes, one packet at a time, each waiting for its
// answer.
//
// A ztunnel being replaced stays connected beside its successor: new pods go to the newest,
// deletions to all. One that leaves a request unanswered for `patience` is dropped, and may connect
// again; nobody else waits for it. At most 8 are connected; a further one is refused. New
// connections: 5 a second. Only the owner of the socket file may connect to it, and root.
//
// Owner: the node's main, which calls it from one thread. The server has a thread
// of its own; observers run on it and may not call back into the server.
#pragma once

#include <absl/status/statusor.h>

#include <functional>
#include <memory>
#include <string>

#include "agent/node/zds/codec.h"
#include "ztunnel/base/netns.h"

namespace mesh::node::zds {

struct HeldPod {
  PodInfo info;
  std::shared_ptr<const Netns> netns;  // null: known without one; a ztunnel that has it keeps it
};

class Server {
 public:
  struct Observer {
    // The answer to a pod of a snapshot.
    std::function<void(const std::string& uid, const absl::Status&)> on_snapshot_ack;
    // After a snapshot was sent, and when a ztunnel has gone: how many are connected.
    std::function<void(int connected)> on_connections;
  };

  static absl::StatusOr<std::unique_ptr<Server>> Create(const std::string& path, Observer observer,
                                                        absl::Duration patience = absl::Seconds(5));
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Lets ztunnels connect, in the place of a stale socket file. Once, when every pod that an
  // earlier agent captured is held: a ztunnel ends what it serves for pods that its snapshot does
  // not name.
  absl::Status Listen();

  // The pod is in every snapshot from now on; nothing is sent.
  void Hold(HeldPod pod);
  // Hold(), and tells the newest ztunnel. Waits for its answer, `patience` at most. Unavailable:
  // nobody is connected, or no answer came; Aborted: refused, in ztunnel's words. The pod stays
  // held. The other calls wait for nobody.
  absl::Status Add(HeldPod pod);
  // As Add; what comes of it is in the log.
  void Offer(HeldPod pod);
  // Undoes Add: no longer held, and those are told that were given the pod since it was last
  // removed. An older ztunnel that serves it since before keeps what it serves.
  void TakeBack(const std::string& uid);
  // Takes the pod away from the newest ztunnel alone and gives it again, so that it listens anew.
  void Renew(HeldPod pod);
  // No longer held; tells all.
  void Remove(const std::string& uid);

  int connected() const;  // any thread

 private:
  struct Impl;
  void LetGo(const std::string& uid);
  explicit Server(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace mesh::node::zds
