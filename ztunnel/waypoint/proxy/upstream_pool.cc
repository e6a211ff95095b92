#include "ztunnel/waypoint/proxy/upstream_pool.h"

#include "ztunnel/base/status.h"
#include "ztunnel/waypoint/http/http1_client.h"
#include "ztunnel/waypoint/http/http2_client.h"
#include "ztunnel/waypoint/proxy/open_transport.h"

namespace mesh::waypoint {
namespace {

constexpr absl::Duration kSweepInterval = absl::Seconds(1);
constexpr size_t kStreamsExpected = 100;  // of an HTTP/2 connection whose peer has said nothing yet

OpenResult Failure(const absl::Status& status) {
  OpenResult result;
  result.error = http::StreamError::kConnectFailure;
  result.detail = std::string(MessageOf(status));
  result.reason = telemetry::ReasonOf(status);
  return result;
}

OpenResult Overflow() {
  OpenResult result;
  result.error = http::StreamError::kOverload;
  result.reason = MESH_REASON_LIMIT;
  return result;
}

}  // namespace

// Counted among the cluster's pending requests while it waits.
struct UpstreamPool::Waiter {
  Waiter(UpstreamPool& p, const Key& k, std::list<Waiter*>& l, lb::ClusterStats& s)
      : pool(p), key(k), event(p.core_.loop), list(l), stats(s), place(l.insert(l.end(), this)) {
    stats.pending.fetch_add(1, std::memory_order_relaxed);
  }
  ~Waiter() {
    const bool unheard = !waiting && !heard && failure.error == http::StreamError::kNone;
    Leave();
    stats.pending.fetch_sub(1, std::memory_order_relaxed);
    if (unheard) pool.OnCapacity(key);  // it was woken and is gone: the next one's turn
  }
  void Leave() {
    if (waiting) list.erase(place);
    waiting = false;
  }
  UpstreamPool& pool;
  const Key& key;
  base::Event event;
  OpenResult failure;
  std::list<Waiter*>& list;
  lb::ClusterStats& stats;
  std::list<Waiter*>::iterator place;
  bool waiting = true;
  bool heard = false;  // it goes on after it was woken
};

class UpstreamPool::Upstream final : public http::ClientConnectionVisitor {
 public:
  Upstream(UpstreamPool& pool, Key key, lb::ClusterRef cluster,
           std::unique_ptr<transport::Transport> transport)
      : key(std::move(key)), cluster_(std::move(cluster)), pool_(pool) {
    cluster_->stats().connections.fetch_add(1, std::memory_order_relaxed);
    made_ = last_used_ = pool.core_.loop.Now();
    const http::Limits& limits = pool.core_.options.limits;
    codec_ = this->key.http2
                 ? http::MakeHttp2Client(pool.core_.loop, std::move(transport), *this, limits)
                 : http::MakeHttp1Client(pool.core_.loop, std::move(transport), *this, limits);
  }
  ~Upstream() override { cluster_->stats().connections.fetch_sub(1, std::memory_order_relaxed); }

  bool Usable() const {
    if (closed_ || draining_ || codec_->Capacity() == 0) return false;
    const uint32_t streams = cluster_->options().max_concurrent_streams;
    return streams == 0 || codec_->streams() < streams;
  }
  http::ClientStream* Request(const http::RequestHead& head, bool end, http::ClientEvents& events) {
    last_used_ = pool_.core_.loop.Now();
    ++requests_;
    http::ClientStream* stream = codec_->Request(head, end, events);
    const uint32_t limit = cluster_->options().max_requests_per_connection;
    if (limit > 0 && requests_ >= limit) Drain();
    return stream;
  }
  void Drain() {
    if (closed_ || draining_) return;
    draining_ = true;
    codec_->Drain();
  }
  // Closes what has been idle, or alive, for too long.
  void Tick(absl::Time now) {
    const lb::ClusterOptions& options = cluster_->options();
    if (codec_->streams() > 0) last_used_ = now;
    const bool idle = now - last_used_ >= options.idle_timeout;
    const bool old =
        options.max_connection_duration && now - made_ >= *options.max_connection_duration;
    if (idle || old) Drain();
  }
  void OnCapacity() override { pool_.OnCapacity(key); }
  void OnConnectionClosed() override {
    closed_ = true;
    pool_.OnClosed(*this);
  }
  bool served() const { return requests_ > 0; }

  const Key key;

 private:
  const lb::ClusterRef cluster_;
  UpstreamPool& pool_;
  absl::Time made_, last_used_;
  uint64_t requests_ = 0;
  bool draining_ = false;
  bool closed_ = false;
  std::unique_ptr<http::ClientConnection> codec_;  // goes first
};

UpstreamPool::UpstreamPool(Core& core) : core_(core) {
  sweep_ = core_.loop.After(kSweepInterval, [this] { Sweep(); });
}

UpstreamPool::~UpstreamPool() {
  tasks_.CancelAll();
  core_.loop.CancelDefer(*this);
  core_.loop.CancelTimer(sweep_);
}

UpstreamPool::Entry& UpstreamPool::EntryOf(const Key& key) {
  std::unique_ptr<Entry>& entry = entries_[key];
  if (entry == nullptr) entry = std::make_unique<Entry>();
  return *entry;
}

UpstreamPool::Upstream* UpstreamPool::FindUsable(Entry& entry) {
  for (const auto& upstream : entry.connections) {
    if (upstream->Usable()) return upstream.get();
  }
  return nullptr;
}

bool UpstreamPool::MayConnect(const lb::Cluster& cluster, const Entry& entry) const {
  if (entry.connections.empty() && entry.connecting == 0) return true;
  const uint32_t limit = cluster.options().max_connections;
  return limit == 0 || cluster.stats().connections.load(std::memory_order_relaxed) < limit;
}

OpenResult UpstreamPool::OpenNow(const lb::Cluster& cluster, const lb::Host& host, bool http2,
                                 const http::RequestHead& head, bool end,
                                 http::ClientEvents& events) {
  OpenResult result;
  const auto it = entries_.find(Key{cluster.name(), host.address, host.hostname, http2});
  // Who came first goes first.
  if (it == entries_.end() || !it->second->waiters.empty()) return result;
  if (Upstream* upstream = FindUsable(*it->second)) {
    result.reused = upstream->served();
    result.stream = upstream->Request(head, end, events);
  }
  return result;
}

base::Task<OpenResult> UpstreamPool::Open(lb::ClusterRef cluster, const lb::Host& host, bool http2,
                                          const http::RequestHead& head, bool end,
                                          http::ClientEvents& events) {
  const Key key{cluster->name(), host.address, host.hostname, http2};
  lb::ClusterStats& stats = cluster->stats();
  for (bool waited = false;; waited = true) {
    Entry& entry = EntryOf(key);
    if (waited || entry.waiters.empty()) {
      if (Upstream* upstream = FindUsable(entry)) {
        OpenResult result;
        result.reused = upstream->served();
        result.stream = upstream->Request(head, end, events);
        co_return result;
      }
    }
    const uint32_t limit = cluster->options().max_pending_requests;
    if (!waited && limit > 0 && stats.pending.load(std::memory_order_relaxed) >= limit) {
      stats.pending_overflow.fetch_add(1, std::memory_order_relaxed);
      MaybeForget(key);
      co_return Overflow();
    }
    Waiter waiter(*this, key, entry.waiters, stats);
    const size_t each = http2 ? kStreamsExpected : 1;
    if (entry.connecting * each < entry.waiters.size()) {
      if (MayConnect(*cluster, entry)) {
        ++entry.connecting;
        tasks_.Start(Connect(key, cluster, host));
      } else {
        stats.connection_overflow.fetch_add(1, std::memory_order_relaxed);
      }
    }
    co_await waiter.event.Wait();
    waiter.heard = true;
    if (waiter.failure.error != http::StreamError::kNone) co_return waiter.failure;
  }
}

base::Task<void> UpstreamPool::Connect(Key key, lb::ClusterRef cluster, lb::Host host) {
  absl::StatusOr<std::unique_ptr<transport::Transport>> transport =
      co_await OpenTransport(core_, cluster, std::move(host));
  Entry& entry = EntryOf(key);
  --entry.connecting;
  if (!transport.ok()) {
    FailWaiters(entry, Failure(transport.status()));
    MaybeForget(key);
    co_return;
  }
  entry.connections.push_back(
      std::make_unique<Upstream>(*this, key, std::move(cluster), *std::move(transport)));
  ++connections_;
  if (draining_) entry.connections.back()->Drain();
  WakeOne(entry);
}

void UpstreamPool::WakeOne(Entry& entry) {
  if (entry.waiters.empty()) return;
  Waiter& waiter = *entry.waiters.front();
  waiter.Leave();
  waiter.event.Set();
}

// One attempt speaks for one who waits; the last for all.
void UpstreamPool::FailWaiters(Entry& entry, const OpenResult& failure) {
  do {
    if (entry.waiters.empty()) return;
    entry.waiters.front()->failure = failure;
    WakeOne(entry);
  } while (entry.connecting == 0 && entry.connections.empty());
}

void UpstreamPool::OnCapacity(const Key& key) {
  const auto it = entries_.find(key);
  if (it != entries_.end()) WakeOne(*it->second);
}

void UpstreamPool::OnClosed(Upstream& upstream) {
  const Key key = upstream.key;
  Entry& entry = EntryOf(key);
  for (auto it = entry.connections.begin(); it != entry.connections.end(); ++it) {
    if (it->get() != &upstream) continue;
    dead_.splice(dead_.end(), entry.connections, it);
    break;
  }
  --connections_;
  core_.loop.Defer(*this);
  // There is room for a new one: who waits looks again.
  WakeOne(entry);
  MaybeForget(key);
}

void UpstreamPool::MaybeForget(const Key& key) {
  const auto it = entries_.find(key);
  if (it == entries_.end()) return;
  const Entry& entry = *it->second;
  if (entry.connections.empty() && entry.waiters.empty() && entry.connecting == 0) {
    entries_.erase(it);
  }
}

void UpstreamPool::Sweep() {
  const absl::Time now = core_.loop.Now();
  for (auto& [key, entry] : entries_) {
    for (auto& upstream : entry->connections) upstream->Tick(now);
  }
  sweep_ = core_.loop.After(kSweepInterval, [this] { Sweep(); });
}

void UpstreamPool::Drain() {
  draining_ = true;
  for (auto& [key, entry] : entries_) {
    for (auto& upstream : entry->connections) upstream->Drain();
  }
}

void UpstreamPool::RunDeferred() { dead_.clear(); }

}  // namespace mesh::waypoint
