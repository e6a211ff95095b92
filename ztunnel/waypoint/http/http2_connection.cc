#include "ztunnel/waypoint/http/http2_connection.h"

namespace mesh::http {
namespace {

constexpr size_t kTurn = 64 << 10;
constexpr size_t kKeep = 4 << 10;

}  // namespace

Http2Connection::Http2Connection(base::EventLoop& loop,
                                 std::unique_ptr<transport::Transport> transport,
                                 h2::Options options, Limits limits)
    : loop_(loop),
      limits_(limits),
      transport_(std::move(transport)),
      session_(std::make_unique<h2::Session>(*this, options)) {}

Http2Connection::~Http2Connection() {
  loop_.CancelDefer(*this);
  if (linger_ != 0) loop_.CancelTimer(linger_);
}

void Http2Connection::Start() {
  transport_->Start(*this);
  Touch();
}

void Http2Connection::Touch() {
  if (!over_told_) loop_.Defer(*this);
}

void Http2Connection::OnBytes(std::span<const std::byte> bytes) {
  if (over_ || ending_) {
    transport_->Consumed(bytes.size());
    return;
  }
  const absl::Status status = session_->Receive(bytes);
  // A peer that does not read what its own frames make us say is not read from either.
  if (transport_->Room() > 0) {
    transport_->Consumed(bytes.size());
  } else {
    owed_ += bytes.size();
  }
  Touch();
  if (!status.ok()) Close();
}

void Http2Connection::OnEnd() { Close(); }

void Http2Connection::OnRoom() { Touch(); }

void Http2Connection::OnClosed(bool) {
  over_ = true;
  Touch();
}

// What is there still goes: the end of answers, and GOAWAY, which says why.
void Http2Connection::Close() {
  if (over_ || ending_) return;
  Send();
  ending_ = true;
  session_->Abandon(h2::kConnectError);
  transport_->End();
  linger_ = loop_.After(limits_.linger_timeout, [this] {
    linger_ = 0;
    transport_->Reset();
  });
}

void Http2Connection::Send() {
  while (!over_ && !ending_ && session_->WantsWrite() && transport_->Room() > 0) {
    const absl::Status status = session_->Produce(out_, std::min(kTurn, transport_->Room()));
    if (out_.empty()) break;
    transport_->Write(out_.data());
    out_.Clear();
    if (!status.ok()) break;
  }
  if (out_.capacity() > kKeep) out_.Free();
  if (owed_ > 0 && transport_->Room() > 0) transport_->Consumed(std::exchange(owed_, 0));
}

void Http2Connection::RunDeferred() {
  if (over_told_) return;
  if (!over_ && !ending_) {
    Send();
    TellRoom();
    OnTurn();
    if (session_->Finished()) Close();
  }
  if (!over_) return;
  over_told_ = true;
  session_->Abandon(h2::kConnectError);
  OnConnectionOver();
}

}  // namespace mesh::http
