// A Transport whose first bytes are looked at before anybody else gets them.
//
// Order: Sniff; `decided` is called once, when the first bytes say what it is, the peer ends, or
// the time is over; then Start hands over all that came, and what follows. Owner and thread: as the
// transport within. Without Sniff it is the transport within.
#pragma once

#include <functional>
#include <memory>

#include "ztunnel/base/async/event_loop.h"
#include "ztunnel/core/net/buffer.h"
#include "ztunnel/waypoint/transport/transport.h"

namespace mesh::transport {

enum class Spoken : uint8_t { kUndecided, kHttp1, kHttp2, kTls, kOther };

// Whether they may be the beginning of a TLS handshake.
bool BeginsTls(std::span<const std::byte> first);
// What these first bytes are; kUndecided: more are needed.
Spoken WhatIs(std::span<const std::byte> first);

class SniffTransport final : public Transport, public Events, public base::Deferred {
 public:
  SniffTransport(base::EventLoop& loop, std::unique_ptr<Transport> inner);
  ~SniffTransport() override;

  // kUndecided in the end: nothing, or too little, came.
  void Sniff(absl::Duration patience, std::function<void(Spoken)> decided);
  std::span<const std::byte> first() const { return first_.data(); }

  void Start(Events& events) override;
  size_t Room() const override { return inner_->Room(); }
  void Write(std::span<const std::byte> bytes) override { inner_->Write(bytes); }
  void End() override { inner_->End(); }
  void Consumed(size_t bytes) override { inner_->Consumed(bytes); }
  void Reset() override { inner_->Reset(); }

 private:
  void OnBytes(std::span<const std::byte> bytes) override;
  void OnEnd() override;
  void OnRoom() override;
  void OnClosed(bool clean) override;
  void RunDeferred() override;
  void Decide(Spoken spoken);

  base::EventLoop& loop_;
  std::unique_ptr<Transport> inner_;
  Events* events_ = nullptr;
  std::function<void(Spoken)> decided_;
  Spoken spoken_ = Spoken::kUndecided;
  net::Buffer first_;
  base::EventLoop::TimerId timer_ = 0;
  bool started_ = false;
  bool tells_ = false;  // the decision waits to be told
  bool ended_ = false;
  bool closed_ = false;
  bool clean_ = false;
};

}  // namespace mesh::transport
