// Connections of one worker to endpoints, shared by requests.
//
// Key: the cluster, the endpoint, the version of HTTP. HTTP/1 carries one request at a time on a
// connection, HTTP/2 as many as the peer and the cluster let it. Who finds none waits, and a new
// one is opened as long as the limits of the cluster let it; every endpoint may have one. Thread:
// the loop's. Owner: Core; destroyed after every exchange.
#pragma once

#include <absl/container/flat_hash_map.h>

#include <list>
#include <memory>
#include <string>

#include "ztunnel/base/async/event.h"
#include "ztunnel/base/async/task_set.h"
#include "ztunnel/waypoint/proxy/core.h"

namespace mesh::waypoint {

// How an attempt to send a request ended before there was a stream.
struct OpenResult {
  http::ClientStream* stream = nullptr;  // null: it failed
  http::StreamError error = http::StreamError::kNone;
  std::string detail;
  mesh_reason reason = MESH_REASON_NONE;
  bool reused = false;  // on a connection that was there before
};

class UpstreamPool final : public base::Deferred {
 public:
  explicit UpstreamPool(Core& core);
  ~UpstreamPool() override;

  // Sends the head on a connection to `host`, which belongs to `cluster`, when one is free now.
  // `events` lives until its OnClosed or a Detach of the stream.
  OpenResult OpenNow(const lb::Cluster& cluster, const lb::Host& host, bool http2,
                     const http::RequestHead& head, bool end, http::ClientEvents& events);
  // The same, and waits for a connection. Destroying the task gives up.
  base::Task<OpenResult> Open(lb::ClusterRef cluster, const lb::Host& host, bool http2,
                              const http::RequestHead& head, bool end, http::ClientEvents& events);

  // No new requests; connections close as their last request ends.
  void Drain();
  size_t connections() const { return connections_; }

 private:
  class Upstream;
  struct Waiter;
  struct Key {
    std::string cluster;
    SocketAddress address;
    std::string hostname;
    bool http2 = false;
    bool operator==(const Key&) const = default;
    template <typename H>
    friend H AbslHashValue(H h, const Key& key) {
      return H::combine(std::move(h), key.cluster, key.address, key.hostname, key.http2);
    }
  };
  struct Entry {
    std::list<std::unique_ptr<Upstream>> connections;
    std::list<Waiter*> waiters;
    size_t connecting = 0;
  };

  Entry& EntryOf(const Key& key);
  Upstream* FindUsable(Entry& entry);
  bool MayConnect(const lb::Cluster& cluster, const Entry& entry) const;
  base::Task<void> Connect(Key key, lb::ClusterRef cluster, lb::Host host);
  void WakeOne(Entry& entry);
  void FailWaiters(Entry& entry, const OpenResult& failure);
  void OnCapacity(const Key& key);
  void OnClosed(Upstream& upstream);
  void MaybeForget(const Key& key);
  void Sweep();
  void RunDeferred() override;

  Core& core_;
  absl::flat_hash_map<Key, std::unique_ptr<Entry>> entries_;
  std::list<std::unique_ptr<Upstream>> dead_;
  size_t connections_ = 0;
  bool draining_ = false;
  base::EventLoop::TimerId sweep_ = 0;
  base::TaskSet tasks_;  // connection attempts; ends first
};

}  // namespace mesh::waypoint
