// Outbound tunnels of one pod on one worker, shared by its connections.
//
// Key: who we are, whom we accept, where it is, and from which address. One connection is opened
// per key at a time, the others who want it wait. A connection takes up to `max_streams` streams,
// then another is opened; it leaves the pool on GOAWAY, and when one of the two certificates is no
// longer the present one; it closes when its last stream has ended, or when it was idle. Thread:
// the loop's. Owner: the pod on the worker; destroyed after the tasks that use it.
#pragma once

#include <absl/container/flat_hash_map.h>
#include <absl/status/statusor.h>

#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <vector>

#include "ztunnel/base/async/event.h"
#include "ztunnel/base/async/task_set.h"
#include "ztunnel/core/hbone/connection.h"
#include "ztunnel/core/identity/certificate_manager.h"
#include "ztunnel/core/net/connect.h"

namespace mesh::hbone {

struct PoolKey {
  identity::Identity source;
  std::vector<identity::Identity> accepted;  // in order of preference; not empty
  SocketAddress address;
  std::optional<IpAddress> source_ip;
  bool operator==(const PoolKey&) const = default;
  template <typename H>
  friend H AbslHashValue(H h, const PoolKey& key) {
    return H::combine(std::move(h), key.source, key.accepted, key.address, key.source_ip);
  }
};

// A stream that a Pool opened. The connection outlives it as long as its handler had no OnClosed.
struct OpenedStream {
  Connection* connection = nullptr;
  int32_t id = 0;
  bool reused = false;  // the connection was not made for this stream
};

class Pool final : public base::Deferred {
 public:
  struct Options {
    Connection::Options connection;
    uint32_t max_streams = 100;
    size_t max_connections = 10'000;
    absl::Duration idle = absl::Minutes(5);
    absl::Duration connect_timeout = absl::Seconds(10);
    absl::Duration certificate_timeout = absl::Seconds(10);
    net::SocketOptions socket;
  };
  // `netns` (may be null: where the thread is) outlives the pool.
  Pool(base::EventLoop& loop, net::SharedBuffers& buffers,
       identity::CertificateManager& certificates, identity::PeerVerifier& verifier,
       const Netns* netns, Options options);
  ~Pool() override;

  // Sends a request on a connection for `key`, opening one if need be. Errors carry a reason.
  // `handler` lives until its OnClosed or Detach. `patience`: for a tunnel to be opened, beside the
  // deadlines of the attempt itself.
  base::Task<absl::StatusOr<OpenedStream>> Open(PoolKey key, h2::Headers headers,
                                                h2::StreamHandler& handler,
                                                absl::Duration patience = absl::InfiniteDuration());

  // Closes connections without streams; those with streams close when they are done.
  void Retire();
  // Closes those whose peer `why` has something against, with what it says.
  void CloseIf(const std::function<absl::Status(const Connection&)>& why);
  size_t connections() const { return connections_; }
  size_t keys() const { return entries_.size(); }  // with a connection, an attempt or a waiter

 private:
  class Pooled;
  struct Waiter;
  struct Entry {
    std::list<std::unique_ptr<Pooled>> connections;
    std::list<Waiter*> waiters;
    bool connecting = false;
  };

  Entry& EntryOf(const PoolKey& key);
  Connection* FindUsable(Entry& entry);
  base::Task<void> Connect(PoolKey key);
  base::Task<absl::Status> ConnectNow(const PoolKey& key);
  void Wake(const PoolKey& key, const absl::Status& status);
  void OnOpen(const PoolKey& key);
  void OnClosed(Pooled& pooled, const absl::Status& status);
  void RunDeferred() override;
  void MaybeForget(const PoolKey& key);

  base::EventLoop& loop_;
  net::SharedBuffers& buffers_;
  identity::CertificateManager& certificates_;
  identity::PeerVerifier& verifier_;
  const Netns* netns_;
  const Options options_;
  absl::flat_hash_map<PoolKey, std::unique_ptr<Entry>> entries_;
  std::list<std::unique_ptr<Pooled>> dead_;
  size_t connections_ = 0;
  bool retiring_ = false;
  base::TaskSet tasks_;  // connection attempts; ends first
};

// The reason and the words for a TCP connection that could not be opened. `tunnel`: to a peer's
// HBONE port, where silence has a cause of its own.
absl::Status ConnectFailure(int error, const SocketAddress& address, bool tunnel);

}  // namespace mesh::hbone
