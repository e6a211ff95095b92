#include "ztunnel/waypoint/transport/tunnel_transport.h"

#include <cstring>
#include <utility>

namespace mesh::transport {
namespace {

// What an idle stream may keep of its buffer.
constexpr size_t kKeep = 4 << 10;

}  // namespace

TunnelTransport::TunnelTransport(base::EventLoop& loop) : loop_(loop), answered_(loop) {}

TunnelTransport::~TunnelTransport() {
  Leave();
  loop_.CancelDefer(*this);
}

// Whoever destroys a transport wants no more of its stream.
void TunnelTransport::Leave() {
  if (connection_ == nullptr || stream_closed_) return;
  const bool over = end_sent_ && peer_ended_;
  connection_->Detach(stream_);
  if (!over) connection_->Reset(stream_, h2::kCancel);
  stream_closed_ = true;
}

void TunnelTransport::Bind(hbone::Connection& connection, int32_t stream) {
  connection_ = &connection;
  stream_ = stream;
}

void TunnelTransport::Respond(const h2::Headers& headers) {
  if (!stream_closed_) connection_->Respond(stream_, headers);
}

void TunnelTransport::Refuse(const h2::Headers& headers) {
  if (stream_closed_) return;
  end_sent_ = true;
  connection_->RespondAndEnd(stream_, headers);
}

void TunnelTransport::Start(Events& events) {
  events_ = &events;
  started_ = true;
  if (!early_.empty() || peer_ended_ || stream_closed_) loop_.Defer(*this);
}

size_t TunnelTransport::Room() const {
  if (stream_closed_ || end_wanted_) return 0;
  return unsent_.size() >= kMaxUnsent ? 0 : kMaxUnsent - unsent_.size();
}

void TunnelTransport::Write(std::span<const std::byte> bytes) {
  if (stream_closed_ || end_wanted_ || bytes.empty()) return;
  const bool idle = unsent_.empty();
  unsent_.Append(bytes);
  was_full_ = was_full_ || Room() == 0;
  if (idle) connection_->Resume(stream_);
}

void TunnelTransport::End() {
  if (end_wanted_ || stream_closed_) return;
  end_wanted_ = true;
  connection_->Resume(stream_);
}

void TunnelTransport::Consumed(size_t bytes) {
  if (!stream_closed_) connection_->Consumed(stream_, bytes);
}

void TunnelTransport::Reset() {
  if (stream_closed_ || reset_) return;
  reset_ = true;
  connection_->Reset(stream_, h2::kConnectError);
}

void TunnelTransport::OnHeaders(const h2::Headers& headers) {
  response_ = headers;
  answered_.Set();
}

void TunnelTransport::OnData(std::span<const std::byte> data) {
  if (started_ && early_.empty()) {
    events_->OnBytes(data);
  } else {
    early_.Append(data);
  }
}

void TunnelTransport::OnEnd() {
  peer_ended_ = true;
  if (started_) loop_.Defer(*this);
}

void TunnelTransport::OnClosed(uint32_t error_code) {
  stream_closed_ = true;
  clean_ = error_code == h2::kNoError && peer_ended_ && end_sent_;
  answered_.Set();
  if (started_) loop_.Defer(*this);
}

h2::StreamHandler::Produced TunnelTransport::Produce(std::span<std::byte> out) {
  const size_t n = std::min(out.size(), unsent_.size());
  if (n > 0) {
    std::memcpy(out.data(), unsent_.data().data(), n);
    unsent_.Consume(n);
  }
  if (was_full_ && unsent_.size() < kMaxUnsent / 2) loop_.Defer(*this);
  if (!unsent_.empty()) return {Produced::Kind::kData, n};
  if (unsent_.capacity() > kKeep) unsent_.Free();
  if (end_wanted_) {
    end_sent_ = true;
    return {Produced::Kind::kEnd, n};
  }
  return {n > 0 ? Produced::Kind::kData : Produced::Kind::kBlocked, n};
}

void TunnelTransport::RunDeferred() {
  if (!started_ || closed_told_) return;
  if (!early_.empty()) {
    // Out of the member first: the callback may write, end, or reset.
    net::Buffer early = std::exchange(early_, {});
    events_->OnBytes(early.data());
  }
  if (peer_ended_ && !end_told_) {
    end_told_ = true;
    events_->OnEnd();
  }
  if (stream_closed_) {
    closed_told_ = true;
    events_->OnClosed(clean_);  // may queue the destruction of this object; nothing follows
    return;
  }
  if (was_full_ && unsent_.size() < kMaxUnsent / 2) {
    was_full_ = false;
    events_->OnRoom();
  }
}

}  // namespace mesh::transport
