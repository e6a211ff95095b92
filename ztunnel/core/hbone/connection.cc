#include "ztunnel/core/hbone/connection.h"

#include <cstring>
#include <utility>

#include "ztunnel/base/status.h"
#include "ztunnel/core/telemetry/telemetry.h"

namespace mesh::hbone {
namespace {

constexpr size_t kTurn = net::SharedBuffers::kBytes;
constexpr int kReadsPerTurn = 2;
constexpr absl::Duration kPause = absl::Milliseconds(20);

mesh_reason ReasonOf(tls::Session::Refusal refusal) {
  switch (refusal) {
    case tls::Session::Refusal::kIdentity:
      return MESH_REASON_IDENTITY_MISMATCH;
    case tls::Session::Refusal::kRevoked:
      return MESH_REASON_CERT_REVOKED;
    case tls::Session::Refusal::kOther:
      break;
  }
  return MESH_REASON_TLS_FAILURE;
}

absl::Status Reason(absl::Status status, mesh_reason reason) {
  return telemetry::WithReason(std::move(status), reason);
}

}  // namespace

Connection::Connection(base::EventLoop& loop, net::SharedBuffers& buffers, net::Socket socket,
                       std::unique_ptr<tls::Session> tls, Options options, Owner& owner)
    : loop_(loop),
      buffers_(buffers),
      socket_(std::move(socket)),
      tls_(std::move(tls)),
      options_(options),
      owner_(owner),
      last_used_(loop.Now()) {}

Connection::~Connection() {
  if (!closed_) {
    closing_ = absl::OkStatus();
    Shut();
  }
  loop_.CancelDefer(*this);
}

void Connection::Start() {
  timer_ = loop_.After(options_.handshake_timeout, [this] {
    timer_ = 0;
    Close(Reason(DeadlineExceeded("TLS handshake took longer than {} s",
                                  absl::ToDoubleSeconds(options_.handshake_timeout)),
                 MESH_REASON_TLS_FAILURE));
  });
  if (absl::Status status = loop_.Add(socket_.fd(), EPOLLIN | EPOLLOUT | EPOLLRDHUP, *this);
      !status.ok()) {
    Close(Reason(std::move(status), MESH_REASON_LIMIT));
    return;
  }
  if (absl::Status status = tls_->Start(unsent_); !status.ok()) {
    Close(Reason(std::move(status), MESH_REASON_TLS_FAILURE));
    return;
  }
  loop_.RequestFlush(*this);
}

void Connection::OnEvents(uint32_t events) {
  if ((events & EPOLLOUT) != 0 && blocked_) {
    blocked_ = false;
    loop_.RequestFlush(*this);
  }
  if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) {
    hangup_ = hangup_ || (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
    ReadWire();
  }
}

void Connection::ReadWire() {
  for (int i = 0; i < kReadsPerTurn; ++i) {
    if (closed_ || closing_) return;
    if (h2_ != nullptr && h2_->Full()) return PauseReading();
    paused_since_ = absl::InfiniteFuture();
    const std::span<std::byte> space = buffers_.wire_in.Reserve(kTurn).first(kTurn);
    const net::IoResult read = socket_.Read(space);
    switch (read.kind) {
      case net::IoResult::Kind::kBlocked:
        return;
      case net::IoResult::Kind::kEnd:
        Close(open() ? absl::OkStatus()
                     : Reason(Unavailable("peer closed during the TLS handshake"),
                              MESH_REASON_TLS_FAILURE));
        return;
      case net::IoResult::Kind::kError:
        Close(Reason(Errno(read.error, "tunnel read"),
                     open() ? MESH_REASON_PEER_RESET : MESH_REASON_TLS_FAILURE));
        return;
      case net::IoResult::Kind::kDone:
        break;
    }
    if (absl::Status status = Take(space.first(read.bytes)); !status.ok()) {
      Close(std::move(status));
      return;
    }
    // A short read of an edge-triggered socket emptied it, unless the end is behind it.
    if (read.bytes < space.size() && !hangup_) return;
  }
  ReadAgain(absl::ZeroDuration());
}

void Connection::ReadAgain(absl::Duration delay) {
  if (read_again_ != 0) return;
  read_again_ = loop_.After(delay, [this] {
    read_again_ = 0;
    ReadWire();
  });
}

void Connection::PauseReading() {
  if (paused_since_ == absl::InfiniteFuture()) {
    paused_since_ = loop_.Now();
    buffers_.budget.CountPause();
  }
  ReadAgain(kPause);
}

absl::Status Connection::Take(std::span<const std::byte> wire) {
  net::Buffer& plain = buffers_.plain_in;
  plain.Clear();
  absl::Status status = tls_->Open(wire, plain, unsent_);
  if (!unsent_.empty()) loop_.RequestFlush(*this);
  if (!status.ok()) {
    return Reason(std::move(status), ReasonOf(tls_->refusal()));
  }
  if (!tls_->established()) return absl::OkStatus();
  if (h2_ == nullptr) {
    h2::Options options = options_.h2;
    options.budget = &buffers_.budget;
    h2_ = std::make_unique<h2::Session>(*this, options);
    if (timer_ != 0) loop_.CancelTimer(timer_);
    timer_ = loop_.After(options_.ping_interval, [this] { Tick(); });
    loop_.RequestFlush(*this);
    owner_.OnOpen(*this);
    if (closed_ || closing_) return absl::OkStatus();
  }
  if (!plain.empty()) {
    status = h2_->Receive(plain.data());
    plain.Clear();
    if (!status.ok()) return Reason(std::move(status), MESH_REASON_H2_FAILURE);
    if (h2_->WantsWrite()) loop_.RequestFlush(*this);
  }
  if (tls_->peer_closed() || h2_->Finished()) Close(absl::OkStatus());
  return absl::OkStatus();
}

void Connection::Flush() {
  if (closed_ || closing_ || blocked_) return;
  absl::Status status = WriteUnsent();
  if (status.ok() && unsent_.empty() && h2_ != nullptr && h2_->WantsWrite()) status = WriteTurn();
  if (!status.ok()) {
    Close(Reason(std::move(status), open() ? MESH_REASON_PEER_RESET : MESH_REASON_TLS_FAILURE));
    return;
  }
  if (h2_ != nullptr && h2_->Finished() && unsent_.empty()) Close(absl::OkStatus());
}

absl::Status Connection::WriteUnsent() {
  if (unsent_.empty()) return absl::OkStatus();
  const net::IoResult written = socket_.Write(unsent_.data());
  if (written.kind == net::IoResult::Kind::kError) return Errno(written.error, "tunnel write");
  if (written.kind == net::IoResult::Kind::kDone) unsent_.Consume(written.bytes);
  if (unsent_.empty()) {
    unsent_.Free();
  } else {
    blocked_ = true;
  }
  return absl::OkStatus();
}

absl::Status Connection::WriteTurn() {
  net::Buffer& plain = buffers_.plain_out;
  net::Buffer& wire = buffers_.wire_out;
  plain.Clear();
  wire.Clear();
  RETURN_IF_ERROR(h2_->Produce(plain, kTurn));
  if (plain.empty()) return absl::OkStatus();
  RETURN_IF_ERROR(tls_->Seal(plain.data(), wire));
  plain.Clear();
  const net::IoResult written = socket_.Write(wire.data());
  if (written.kind == net::IoResult::Kind::kError) return Errno(written.error, "tunnel write");
  if (written.kind == net::IoResult::Kind::kDone) wire.Consume(written.bytes);
  if (!wire.empty()) {
    unsent_.Append(wire.data());
    wire.Clear();
    blocked_ = true;
    return absl::OkStatus();
  }
  if (h2_->WantsWrite()) loop_.RequestFlush(*this);
  return absl::OkStatus();
}

void Connection::Tick() {
  timer_ = 0;
  if (closed_ || closing_) return;
  if (loop_.Now() - paused_since_ >= options_.ping_timeout) {
    Close(Reason(ResourceExhausted("applications do not take what the tunnel's peer sent"),
                 MESH_REASON_LIMIT));
    return;
  }
  if (loop_.Now() - ping_sent_ >= options_.ping_timeout) {
    Close(Reason(DeadlineExceeded("tunnel peer answered no ping"), MESH_REASON_H2_FAILURE));
    return;
  }
  if (streams() > 0) last_used_ = loop_.Now();
  if (ping_sent_ == absl::InfiniteFuture()) {
    ping_sent_ = loop_.Now();
    h2_->Ping();
    loop_.RequestFlush(*this);
  }
  timer_ = loop_.After(options_.ping_interval, [this] { Tick(); });
  owner_.OnTick(*this);
}

absl::Duration Connection::IdleFor() const {
  return streams() > 0 ? absl::ZeroDuration() : loop_.Now() - last_used_;
}

void Connection::Drain() {
  going_away_ = true;
  if (!open()) {
    Close(absl::OkStatus());
    return;
  }
  h2_->GoAwayNotice();
  loop_.RequestFlush(*this);
  if (goaway_ != 0) return;
  goaway_ = loop_.After(kGoAwayGrace, [this] {
    goaway_ = 0;
    if (!open()) return;
    h2_->GoAway();
    loop_.RequestFlush(*this);
  });
}

void Connection::CloseWhenSent() {
  going_away_ = true;
  if (!open()) {
    Close(absl::OkStatus());
    return;
  }
  h2_->GoAway();
  loop_.RequestFlush(*this);
}

void Connection::Close(absl::Status status) {
  if (closed_ || closing_) return;
  closing_ = std::move(status);
  loop_.Defer(*this);
}

void Connection::RunDeferred() {
  if (closed_) return;
  Shut();
  const absl::Status status = *closing_;
  owner_.OnClosed(*this, status);  // may queue the destruction of this object; nothing follows
}

void Connection::Shut() {
  closed_ = true;
  for (base::EventLoop::TimerId* timer : {&timer_, &read_again_, &goaway_}) {
    if (*timer != 0) loop_.CancelTimer(std::exchange(*timer, 0));
  }
  loop_.CancelFlush(*this);
  net::Buffer goaway;
  if (h2_ != nullptr) {
    if (absl::Status produced = h2_->Produce(goaway, 0); !produced.ok()) goaway.Clear();
    // A peer that breaks HTTP/2 and hangs up did the first thing first.
    if (!h2_->failure().ok() && telemetry::ReasonOf(*closing_) != MESH_REASON_H2_FAILURE) {
      closing_ = Reason(h2_->failure(), MESH_REASON_H2_FAILURE);
    }
  }
  if (!blocked_) {
    // Last words, as far as the socket takes them: GOAWAY or an alert, and close_notify.
    net::Buffer last = std::move(unsent_);
    if (absl::Status sealed = tls_->Seal(goaway.data(), last); !sealed.ok()) last.Clear();
    tls_->Close(last);
    if (!last.empty()) socket_.Write(last.data());
  }
  if (socket_) loop_.Remove(socket_.fd(), *this);
  socket_.Close();
  unsent_.Free();
  const bool broken = telemetry::ReasonOf(*closing_) == MESH_REASON_H2_FAILURE;
  if (h2_ != nullptr) h2_->Abandon(broken ? h2::kProtocolError : h2::kConnectError);
}

h2::StreamHandler* Connection::OnRequest(int32_t stream, h2::Headers headers) {
  last_used_ = loop_.Now();
  return owner_.OnRequest(*this, stream, std::move(headers));
}

void Connection::OnGoAway() { going_away_ = true; }

void Connection::OnPong() { ping_sent_ = absl::InfiniteFuture(); }

absl::StatusOr<int32_t> Connection::Request(const h2::Headers& headers,
                                            h2::StreamHandler& handler) {
  if (!TakesRequests()) return Unavailable("the tunnel takes no more streams");
  last_used_ = loop_.Now();
  loop_.RequestFlush(*this);
  return h2_->Request(headers, handler);
}

void Connection::Respond(int32_t stream, const h2::Headers& headers) {
  if (!open()) return;
  h2_->Respond(stream, headers);
  loop_.RequestFlush(*this);
}

void Connection::RespondAndEnd(int32_t stream, const h2::Headers& headers) {
  if (!open()) return;
  h2_->RespondAndEnd(stream, headers);
  loop_.RequestFlush(*this);
}

void Connection::Resume(int32_t stream) {
  if (!open()) return;
  h2_->Resume(stream);
  loop_.RequestFlush(*this);
}

void Connection::Consumed(int32_t stream, size_t bytes) {
  if (!open()) return;
  h2_->Consumed(stream, bytes);
  if (h2_->WantsWrite()) loop_.RequestFlush(*this);
}

void Connection::Reset(int32_t stream, uint32_t error_code) {
  if (!open()) return;
  h2_->Reset(stream, error_code);
  loop_.RequestFlush(*this);
}

void Connection::Detach(int32_t stream) {
  if (h2_ != nullptr) h2_->Detach(stream);
}

}  // namespace mesh::hbone
