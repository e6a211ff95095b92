#include "ztunnel/waypoint/http/http1_connection.h"

#include <algorithm>
#include <utility>

#include "ztunnel/waypoint/http/http1_write.h"

namespace mesh::http {
namespace {

// After the last answer the peer's bytes are read for a while (limits_.linger_timeout), up to this
// many: a reset would take the answer from it.
constexpr size_t kLingerBytes = 1 << 20;

std::string_view AsText(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

Http1Connection::Http1Connection(base::EventLoop& loop,
                                 std::unique_ptr<transport::Transport> transport,
                                 const Limits& limits)
    : loop_(loop),
      limits_(limits),
      transport_(std::move(transport)),
      deadline_(loop, [this] { lingering_ ? Break() : DeadlinePassed(); }) {}

Http1Connection::~Http1Connection() { loop_.CancelDefer(*this); }

void Http1Connection::OnBytes(std::span<const std::byte> bytes) {
  if (reading_) return late_.Append(bytes);
  if (!held_.empty()) return held_.Append(bytes);
  std::string_view in = AsText(bytes);
  ReadAll(in);
  if (!in.empty()) held_.Append(AsBytes(in));
  if (!late_.empty()) {
    held_.Append(late_.data());
    late_.Free();
    Defer();
  }
}

// Everything in `in` that was not delivered as a body is framing, and paid at once.
void Http1Connection::ReadAll(std::string_view& in) {
  const size_t before = in.size();
  body_bytes_ = 0;
  reading_ = true;
  Settle();
  while (!in.empty() && !closed_) {
    if (closing()) {
      lingered_ += in.size();
      in = {};
      if (lingering_ && lingered_ > kLingerBytes) Break();
      break;
    }
    if (!Read(in)) break;
    Settle();
  }
  reading_ = false;
  const size_t framing = before - in.size() - body_bytes_;
  if (framing > 0 && !closed_) transport_->Consumed(framing);
}

void Http1Connection::ReadHeld() {
  if (held_.empty()) return;
  std::string_view in = AsText(held_.data());
  ReadAll(in);
  held_.Consume(held_.size() - in.size());
  if (held_.empty()) held_.Free();
  if (!late_.empty()) {
    held_.Append(late_.data());
    late_.Free();
    Defer();
  }
}

void Http1Connection::Deliver(std::string_view bytes) {
  StreamEvents* const events = BodyEvents();
  if (events == nullptr) return;
  body_bytes_ += bytes.size();
  owed_ += bytes.size();
  events->OnBody(AsBytes(bytes));
}

void Http1Connection::Pay(size_t bytes) {
  bytes = std::min(bytes, owed_);
  owed_ -= bytes;
  if (bytes > 0 && !closed_) transport_->Consumed(bytes);
}

void Http1Connection::PayAll() { Pay(owed_); }

void Http1Connection::OnEnd() {
  peer_ended_ = true;
  Defer();
}

void Http1Connection::OnRoom() {
  if (StreamEvents* const events = closing() ? nullptr : BodyEvents()) events->OnRoom();
}

void Http1Connection::OnClosed(bool clean) {
  clean_ = clean;
  closed_ = true;
  Defer();
}

void Http1Connection::RunDeferred() {
  Settle();
  ReadHeld();
  if (held_.empty() && peer_ended_ && !lingering_ && !broken_ && (clean_ || !closed_)) {
    ReadEnd();
    Settle();
  }
  if (!closed_ || told_) return;
  told_ = true;
  deadline_.Clear();
  ConnectionClosed();
}

void Http1Connection::Send() {
  if (!closed_) transport_->Write(AsBytes(scratch_));
  scratch_.clear();
  if (scratch_.capacity() > 4096) scratch_ = std::string();
}

void Http1Connection::EndOutput() {
  if (!std::exchange(output_ended_, true) && !closed_) transport_->End();
}

void Http1Connection::Linger() {
  if (closing()) return;
  lingering_ = true;
  EndOutput();
  deadline_.Set(limits_.linger_timeout);
  Defer();  // what is held is thrown away
}

void Http1Connection::Break() {
  if (broken_ || closed_) return;
  broken_ = true;
  deadline_.Clear();
  transport_->Reset();
}

}  // namespace mesh::http
