#include "ztunnel/tunnel/plain_relay.h"

#include "ztunnel/base/status.h"

namespace mesh::tunnel {
namespace {

constexpr int kReadsPerTurn = 4;
constexpr size_t kReadOverBudget = 4096;

}  // namespace

PlainRelay::PlainRelay(base::EventLoop& loop, net::SharedBuffers& buffers, net::Socket client,
                       net::Socket server, Counters counters)
    : Relay(loop), loop_(loop), buffers_(buffers), counters_(counters) {
  client_.relay = server_.relay = this;
  client_.socket = std::move(client);
  server_.socket = std::move(server);
  client_.hold.Join(buffers.budget);
  server_.hold.Join(buffers.budget);
}

PlainRelay::~PlainRelay() {
  const bool clean = finished() && result().ok();
  if (again_ != 0) loop_.CancelTimer(again_);
  for (Side* side : {&client_, &server_}) {
    if (!side->socket) continue;
    loop_.Remove(side->socket.fd(), *side);
    if (!clean) side->socket.Reset();
  }
}

void PlainRelay::Start() {
  for (Side* side : {&client_, &server_}) {
    absl::Status status = loop_.Add(side->socket.fd(), EPOLLIN | EPOLLOUT | EPOLLRDHUP, *side);
    if (!status.ok()) return Abort(telemetry::WithReason(std::move(status), MESH_REASON_LIMIT));
  }
  // What arrived with the handshake is read at once.
  Pump(client_, server_);
  Pump(server_, client_);
}

void PlainRelay::OnSide(Side& side, uint32_t events) {
  if (finished()) return;
  Side& other = &side == &client_ ? server_ : client_;
  if ((events & EPOLLERR) != 0) {
    if (const int error = side.socket.TakeError(); error != 0) return Fail(error);
  }
  if ((events & EPOLLOUT) != 0 && !side.pending.empty()) {
    const net::Buffer pending = std::move(side.pending);
    side.hold.Set(0);
    if (!Deliver(side, pending.data())) return;
    if (side.pending.empty()) Pump(other, side);
    if (finished()) return;
  }
  if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP)) != 0) {
    side.readable = true;
    side.hangup = side.hangup || (events & (EPOLLRDHUP | EPOLLHUP)) != 0;
    Pump(side, other);
  }
}

void PlainRelay::Pump(Side& from, Side& to) {
  for (int i = 0; i < kReadsPerTurn; ++i) {
    if (finished() || from.ended || !from.readable || !to.pending.empty()) break;
    // Who is over the budget goes on with little: what is not taken is held.
    const size_t size = buffers_.budget.Over() ? kReadOverBudget : net::SharedBuffers::kBytes;
    const std::span<std::byte> space = buffers_.wire_in.Reserve(size).first(size);
    const net::IoResult read = from.socket.Read(space);
    switch (read.kind) {
      case net::IoResult::Kind::kBlocked:
        from.readable = false;
        break;
      case net::IoResult::Kind::kError:
        return Fail(read.error);
      case net::IoResult::Kind::kEnd:
        from.ended = true;
        break;
      case net::IoResult::Kind::kDone:
        if (&from == &client_) {
          counters_.ToServer(read.bytes);
        } else {
          counters_.ToClient(read.bytes);
        }
        if (read.bytes < space.size() && !from.hangup) from.readable = false;
        if (!Deliver(to, space.first(read.bytes))) return;
        break;
    }
  }
  if (from.ended) EndWriting(to);
  Settle();
  if (finished() || from.ended || !from.readable || !to.pending.empty() || again_ != 0) return;
  again_ = loop_.After(absl::ZeroDuration(), [this] {
    again_ = 0;
    Pump(client_, server_);
    Pump(server_, client_);
  });
}

bool PlainRelay::Deliver(Side& to, std::span<const std::byte> bytes) {
  const net::IoResult written = to.socket.Write(bytes);
  if (written.kind == net::IoResult::Kind::kError) {
    Fail(written.error);
    return false;
  }
  if (written.kind == net::IoResult::Kind::kDone) bytes = bytes.subspan(written.bytes);
  to.pending.Append(bytes);
  to.hold.Set(to.pending.size());
  return true;
}

void PlainRelay::EndWriting(Side& to) {
  if (to.shut || !to.pending.empty()) return;
  to.shut = true;
  to.socket.ShutdownWrite();
}

void PlainRelay::Settle() {
  if (client_.shut && server_.shut) Finish(absl::OkStatus());
}

void PlainRelay::Fail(int error) {
  Abort(telemetry::WithReason(Errno(error, "connection"), MESH_REASON_PEER_RESET));
}

void PlainRelay::Abort(absl::Status status) {
  if (finished()) return;
  for (Side* side : {&client_, &server_}) {
    if (side->socket) loop_.Remove(side->socket.fd(), *side);
    side->socket.Reset();
  }
  Finish(std::move(status));
}

}  // namespace mesh::tunnel
