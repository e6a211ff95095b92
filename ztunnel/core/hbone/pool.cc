#include "ztunnel/core/hbone/pool.h"

#include <cerrno>
#include <utility>

#include "ztunnel/base/status.h"
#include "ztunnel/core/hbone/certificates.h"
#include "ztunnel/core/telemetry/telemetry.h"

namespace mesh::hbone {

struct Pool::Waiter {
  Waiter(base::EventLoop& loop, std::list<Waiter*>& l)
      : event(loop), list(l), place(l.insert(l.end(), this)) {}
  ~Waiter() { Leave(); }
  void Leave() {
    if (waiting) list.erase(place);
    waiting = false;
  }
  base::Event event;
  absl::Status status;
  std::list<Waiter*>& list;
  std::list<Waiter*>::iterator place;
  bool waiting = true;
};

class Pool::Pooled final : public Connection::Owner {
 public:
  Pooled(Pool& pool, PoolKey k, identity::CertificateRef shown, net::Socket socket,
         std::unique_ptr<tls::Session> tls)
      : key(std::move(k)),
        certificate(std::move(shown)),
        connection(pool.loop_, pool.buffers_, std::move(socket), std::move(tls),
                   pool.options_.connection, *this),
        pool_(pool) {}

  void OnOpen(Connection&) override {
    opened = true;
    pool_.OnOpen(key);
  }
  void OnTick(Connection&) override {
    // Nobody's word is taken for longer than it was given: with a renewed certificate (or renewed
    // roots) there is another tunnel, and a peer whose certificate is over proves itself anew.
    const identity::CertificateRef now = pool_.certificates_.TryGet(key.source);
    if ((now != nullptr && now != certificate) || connection.peer_not_after() <= absl::Now()) {
      connection.Retire();
    }
    const bool done = pool_.retiring_ || connection.going_away();
    if (connection.streams() == 0 && (done || connection.IdleFor() >= pool_.options_.idle)) {
      connection.Close(absl::OkStatus());
    }
  }
  void OnClosed(Connection&, const absl::Status& status) override { pool_.OnClosed(*this, status); }

  const PoolKey key;
  const identity::CertificateRef certificate;
  Connection connection;
  bool opened = false;

 private:
  Pool& pool_;
};

absl::Status ConnectFailure(int error, const SocketAddress& address, bool tunnel) {
  mesh_reason reason = MESH_REASON_CONNECT_UNREACHABLE;
  if (error == ECONNREFUSED || error == ECONNRESET) reason = MESH_REASON_CONNECT_REFUSED;
  if (error == ETIMEDOUT)
    reason = tunnel ? MESH_REASON_TUNNEL_BLOCKED : MESH_REASON_CONNECT_TIMEOUT;
  return telemetry::WithReason(Errno(error, "connect to {}", address.ToString()), reason);
}

Pool::Pool(base::EventLoop& loop, net::SharedBuffers& buffers,
           identity::CertificateManager& certificates, identity::PeerVerifier& verifier,
           const Netns* netns, Options options)
    : loop_(loop),
      buffers_(buffers),
      certificates_(certificates),
      verifier_(verifier),
      netns_(netns),
      options_(std::move(options)) {}

Pool::~Pool() {
  tasks_.CancelAll();
  loop_.CancelDefer(*this);
}

Pool::Entry& Pool::EntryOf(const PoolKey& key) {
  std::unique_ptr<Entry>& entry = entries_[key];
  if (entry == nullptr) entry = std::make_unique<Entry>();
  return *entry;
}

Connection* Pool::FindUsable(Entry& entry) {
  for (const auto& pooled : entry.connections) {
    Connection& connection = pooled->connection;
    if (connection.TakesRequests() && connection.streams() < options_.max_streams)
      return &connection;
  }
  return nullptr;
}

base::Task<absl::StatusOr<OpenedStream>> Pool::Open(PoolKey key, h2::Headers headers,
                                                    h2::StreamHandler& handler,
                                                    absl::Duration patience) {
  bool reused = true;
  const absl::Time until = loop_.Now() + patience;
  for (;;) {
    Entry& entry = EntryOf(key);
    if (Connection* connection = FindUsable(entry)) {
      absl::StatusOr<int32_t> id = connection->Request(headers, handler);
      if (!id.ok()) co_return telemetry::WithReason(id.status(), MESH_REASON_H2_FAILURE);
      co_return OpenedStream{connection, *id, reused};
    }
    Waiter waiter(loop_, entry.waiters);
    if (!entry.connecting) {
      if (connections_ >= options_.max_connections) {
        waiter.Leave();
        MaybeForget(key);
        co_return telemetry::WithReason(
            ResourceExhausted("{} tunnels of this pod are open", connections_), MESH_REASON_LIMIT);
      }
      entry.connecting = true;
      tasks_.Start(Connect(key));
    }
    const bool told = co_await waiter.event.Wait(
        patience == absl::InfiniteDuration() ? patience : until - loop_.Now());
    if (!told) {
      co_return telemetry::WithReason(
          DeadlineExceeded("no tunnel to {} in {}", key.address.ToString(),
                           absl::FormatDuration(patience)),
          MESH_REASON_CONNECT_TIMEOUT);
    }
    reused = false;
    if (!waiter.status.ok()) co_return waiter.status;
  }
}

base::Task<void> Pool::Connect(PoolKey key) {
  absl::Status status = co_await ConnectNow(key);
  if (!status.ok()) Wake(key, status);
}

base::Task<absl::Status> Pool::ConnectNow(const PoolKey& key) {
  absl::StatusOr<identity::CertificateRef> certificate =
      co_await GetCertificate(loop_, certificates_, key.source, options_.certificate_timeout);
  if (!certificate.ok()) {
    co_return telemetry::WithReason(certificate.status(), MESH_REASON_NO_CERTIFICATE);
  }
  net::ConnectTarget target;
  target.netns = netns_;
  target.address = key.address;
  target.source = key.source_ip;
  target.timeout = options_.connect_timeout;
  target.options = options_.socket;
  net::ConnectResult connected = co_await net::Connect(loop_, std::move(target));
  if (connected.error != 0) co_return ConnectFailure(connected.error, key.address, true);
  absl::StatusOr<std::unique_ptr<tls::Session>> tls =
      tls::Session::Client(*certificate, key.accepted, verifier_);
  if (!tls.ok()) co_return telemetry::WithReason(tls.status(), MESH_REASON_TLS_FAILURE);
  Entry& entry = EntryOf(key);
  entry.connections.push_back(std::make_unique<Pooled>(
      *this, key, *std::move(certificate), std::move(connected.socket), *std::move(tls)));
  ++connections_;
  entry.connections.back()->connection.Start();
  co_return absl::OkStatus();
}

void Pool::Wake(const PoolKey& key, const absl::Status& status) {
  Entry& entry = EntryOf(key);
  entry.connecting = false;
  while (!entry.waiters.empty()) {
    Waiter& waiter = *entry.waiters.front();
    waiter.Leave();
    waiter.status = status;
    waiter.event.Set();
  }
  MaybeForget(key);
}

void Pool::OnOpen(const PoolKey& key) { Wake(key, absl::OkStatus()); }

void Pool::OnClosed(Pooled& pooled, const absl::Status& status) {
  const PoolKey key = pooled.key;
  Entry& entry = EntryOf(key);
  for (auto it = entry.connections.begin(); it != entry.connections.end(); ++it) {
    if (it->get() != &pooled) continue;
    dead_.splice(dead_.end(), entry.connections, it);
    break;
  }
  --connections_;
  loop_.Defer(*this);
  if (!pooled.opened) {
    Wake(key, status.ok() ? telemetry::WithReason(Unavailable("tunnel closed before it was open"),
                                                  MESH_REASON_TLS_FAILURE)
                          : status);
    return;
  }
  MaybeForget(key);
}

void Pool::MaybeForget(const PoolKey& key) {
  const auto it = entries_.find(key);
  if (it == entries_.end()) return;
  const Entry& entry = *it->second;
  if (entry.connections.empty() && entry.waiters.empty() && !entry.connecting) entries_.erase(it);
}

void Pool::RunDeferred() { dead_.clear(); }

void Pool::CloseIf(const std::function<absl::Status(const Connection&)>& why) {
  for (auto& [key, entry] : entries_) {
    for (auto& pooled : entry->connections) {
      if (absl::Status status = why(pooled->connection); !status.ok()) {
        pooled->connection.Close(std::move(status));
      }
    }
  }
}

void Pool::Retire() {
  retiring_ = true;
  for (auto& [key, entry] : entries_) {
    for (auto& pooled : entry->connections) {
      // One that is not open yet was made for somebody who waits; later a tick ends it.
      if (pooled->opened && pooled->connection.streams() == 0) {
        pooled->connection.Close(absl::OkStatus());
      }
    }
  }
}

}  // namespace mesh::hbone
