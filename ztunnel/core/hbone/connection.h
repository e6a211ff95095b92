// One HBONE tunnel: a TCP connection with mutual TLS and HTTP/2 on it, of either side.
//
// Life: Start, then OnOpen when both sides have proved who they are (or OnClosed), then streams,
// then OnClosed once. Everything is sent at the end of a loop turn: the frames of all streams in
// one buffer, all records in one send. Owner: a Pool or the server side of a pod; it destroys the
// connection later than OnClosed, not within a callback (use Defer). Thread: the loop's. Memory:
// buffers are the worker's; a tunnel owns one only while its socket is blocked (what one turn made,
// about 300 KiB), and then nothing more is made. While the worker holds too much for applications
// that do not take it (core/net/budget.h), tunnels with their share of that are not read from; one
// for which that lasts as long as a ping may ends with reason limit.
#pragma once

#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include <memory>
#include <optional>

#include "ztunnel/base/async/event_loop.h"
#include "ztunnel/core/h2/session.h"
#include "ztunnel/core/net/socket.h"
#include "ztunnel/core/tls/session.h"

namespace mesh::hbone {

// After the notice of GOAWAY, for it to arrive: until then a server serves new streams.
inline constexpr absl::Duration kGoAwayGrace = absl::Seconds(1);

class Connection final : public base::EventHandler,
                         public base::Flusher,
                         public base::Deferred,
                         public h2::SessionVisitor {
 public:
  class Owner {
   public:
    virtual ~Owner() = default;
    virtual void OnOpen(Connection&) = 0;
    // Servers: see h2::SessionVisitor::OnRequest.
    virtual h2::StreamHandler* OnRequest(Connection&, int32_t, h2::Headers) { return nullptr; }
    // Every ping interval; may call Close.
    virtual void OnTick(Connection&) {}
    // The socket is closed and every stream has had its OnClosed. OK: as the peer or we wanted it.
    virtual void OnClosed(Connection&, const absl::Status& status) = 0;
  };

  struct Options {
    h2::Options h2;
    absl::Duration handshake_timeout = absl::Seconds(10);
    absl::Duration ping_interval = absl::Seconds(10);
    absl::Duration ping_timeout = absl::Seconds(20);
  };

  Connection(base::EventLoop& loop, net::SharedBuffers& buffers, net::Socket socket,
             std::unique_ptr<tls::Session> tls, Options options, Owner& owner);
  ~Connection() override;  // closes without OnClosed; streams' handlers are told

  void Start();
  // Everything ends: now, or at the end of this turn when called from a callback.
  void Close(absl::Status status);
  // Client: no new streams; closes when the last has ended and everything is sent.
  void CloseWhenSent();
  // Server: no new streams after kGoAwayGrace, the rest goes on; closes when the last has ended.
  // A tunnel in its handshake is closed.
  void Drain();
  // Client: no new streams; the owner closes it when the last has ended.
  void Retire() { going_away_ = true; }

  bool open() const { return h2_ != nullptr && !closed_; }
  bool TakesRequests() const { return open() && !going_away_ && h2_->TakesRequests(); }
  size_t streams() const { return h2_ ? h2_->streams() : 0; }
  const std::optional<identity::Identity>& peer() const { return tls_->peer(); }
  const identity::PeerRef& peer_chain() const { return tls_->peer_chain(); }
  // When the peer has to prove itself anew.
  absl::Time peer_not_after() const {
    return peer_chain() == nullptr ? absl::InfiniteFuture() : peer_chain()->not_after;
  }
  const net::Socket& socket() const { return socket_; }
  net::Budget& budget() { return buffers_.budget; }
  // How long there has been no stream; zero when there is one.
  absl::Duration IdleFor() const;
  bool going_away() const { return going_away_; }

  // As h2::Session, and sent this turn. No effect once closed.
  absl::StatusOr<int32_t> Request(const h2::Headers& headers, h2::StreamHandler& handler);
  void Respond(int32_t stream, const h2::Headers& headers);
  void RespondAndEnd(int32_t stream, const h2::Headers& headers);
  void Resume(int32_t stream);
  void Consumed(int32_t stream, size_t bytes);
  void Reset(int32_t stream, uint32_t error_code);
  void Detach(int32_t stream);

 private:
  void OnEvents(uint32_t events) override;
  void Flush() override;
  void RunDeferred() override;
  h2::StreamHandler* OnRequest(int32_t stream, h2::Headers headers) override;
  void OnGoAway() override;
  void OnPong() override;

  void ReadWire();
  void ReadAgain(absl::Duration delay);
  void PauseReading();
  absl::Status Take(std::span<const std::byte> wire);
  absl::Status WriteUnsent();
  absl::Status WriteTurn();
  void Tick();
  void Shut();

  base::EventLoop& loop_;
  net::SharedBuffers& buffers_;
  net::Socket socket_;
  std::unique_ptr<tls::Session> tls_;
  const Options options_;
  Owner& owner_;
  std::unique_ptr<h2::Session> h2_;
  net::Buffer unsent_;  // encrypted, refused by the socket so far
  base::EventLoop::TimerId timer_ = 0;
  base::EventLoop::TimerId read_again_ = 0;
  base::EventLoop::TimerId goaway_ = 0;
  absl::Time last_used_;
  absl::Time ping_sent_ = absl::InfiniteFuture();
  absl::Time paused_since_ = absl::InfiniteFuture();  // reading
  std::optional<absl::Status> closing_;
  bool blocked_ = false;
  bool hangup_ = false;  // the end is behind what is still to be read
  bool going_away_ = false;
  bool closed_ = false;
};

}  // namespace mesh::hbone
