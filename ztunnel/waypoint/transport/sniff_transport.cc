#include "ztunnel/waypoint/transport/sniff_transport.h"

#include <string_view>
#include <utility>

namespace mesh::transport {
namespace {

constexpr std::string_view kPreface = "PRI * HTTP/2.0";
constexpr size_t kLongestMethod = 32;
constexpr uint8_t kTlsHandshake = 0x16;
constexpr size_t kRecordHeader = 5, kLongestRecord = 16384;  // RFC 8446, 5.1

bool IsMethodChar(char c) { return (c >= 'A' && c <= 'Z') || c == '-' || c == '_'; }

}  // namespace

bool BeginsTls(std::span<const std::byte> first) {
  return !first.empty() && static_cast<uint8_t>(first[0]) == kTlsHandshake;
}

Spoken WhatIs(std::span<const std::byte> first) {
  const std::string_view text(reinterpret_cast<const char*>(first.data()), first.size());
  if (text.empty()) return Spoken::kUndecided;
  if (static_cast<uint8_t>(text[0]) == kTlsHandshake) {
    // All of its first record: the server's name is in there.
    if (text.size() < kRecordHeader) return Spoken::kUndecided;
    const size_t record = static_cast<uint8_t>(text[3]) << 8 | static_cast<uint8_t>(text[4]);
    const bool whole = text.size() >= kRecordHeader + record || record > kLongestRecord;
    return whole ? Spoken::kTls : Spoken::kUndecided;
  }
  if (text.starts_with(kPreface)) return Spoken::kHttp2;
  if (kPreface.starts_with(text)) return Spoken::kUndecided;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == ' ' && i > 0) return Spoken::kHttp1;
    if (!IsMethodChar(text[i]) || i >= kLongestMethod) return Spoken::kOther;
  }
  return Spoken::kUndecided;
}

SniffTransport::SniffTransport(base::EventLoop& loop, std::unique_ptr<Transport> inner)
    : loop_(loop), inner_(std::move(inner)) {}

SniffTransport::~SniffTransport() {
  loop_.CancelDefer(*this);
  if (timer_ != 0) loop_.CancelTimer(timer_);
}

void SniffTransport::Sniff(absl::Duration patience, std::function<void(Spoken)> decided) {
  decided_ = std::move(decided);
  timer_ = loop_.After(patience, [this] {
    timer_ = 0;
    Decide(Spoken::kUndecided);
  });
  started_ = true;
  inner_->Start(*this);
}

// Told from the top of the stack: whoever hears it may destroy this.
void SniffTransport::Decide(Spoken spoken) {
  if (!decided_ || tells_) return;
  spoken_ = spoken;
  tells_ = true;
  if (timer_ != 0) loop_.CancelTimer(std::exchange(timer_, 0));
  loop_.Defer(*this);
}

void SniffTransport::Start(Events& events) {
  events_ = &events;
  if (!std::exchange(started_, true)) inner_->Start(*this);
  loop_.Defer(*this);
}

void SniffTransport::RunDeferred() {
  if (tells_) {
    tells_ = false;
    std::exchange(decided_, nullptr)(spoken_);
    return;
  }
  if (events_ == nullptr) return;
  if (!first_.empty()) {
    net::Buffer first = std::exchange(first_, {});
    events_->OnBytes(first.data());
  }
  if (std::exchange(ended_, false)) events_->OnEnd();
  if (std::exchange(closed_, false)) events_->OnClosed(clean_);
}

void SniffTransport::OnBytes(std::span<const std::byte> bytes) {
  if (events_ != nullptr && first_.empty()) {
    events_->OnBytes(bytes);
    return;
  }
  first_.Append(bytes);
  if (const Spoken spoken = WhatIs(first_.data()); spoken != Spoken::kUndecided) Decide(spoken);
}

void SniffTransport::OnEnd() {
  if (events_ != nullptr && first_.empty()) {
    events_->OnEnd();
    return;
  }
  ended_ = true;
  Decide(Spoken::kUndecided);
}

void SniffTransport::OnRoom() {
  if (events_ != nullptr) events_->OnRoom();
}

void SniffTransport::OnClosed(bool clean) {
  if (events_ != nullptr && first_.empty() && !ended_) {
    events_->OnClosed(clean);
    return;
  }
  closed_ = true;
  clean_ = clean;
  Decide(Spoken::kUndecided);
}

}  // namespace mesh::transport
