// One stream of an HBONE tunnel, of either side, as a Transport.
//
// Made before the stream is open, because it is the stream's handler from the beginning; what comes
// early waits within the stream's window. Memory: what is written and not yet sent, kMaxUnsent and
// one chunk at most; what arrived before Start.
#pragma once

#include <cstdint>
#include <string>

#include "ztunnel/base/async/event.h"
#include "ztunnel/core/hbone/connection.h"
#include "ztunnel/core/net/buffer.h"
#include "ztunnel/waypoint/transport/transport.h"

namespace mesh::transport {

class TunnelTransport final : public Transport, public h2::StreamHandler, public base::Deferred {
 public:
  static constexpr size_t kMaxUnsent = 256 << 10;

  explicit TunnelTransport(base::EventLoop& loop);
  ~TunnelTransport() override;

  void Bind(hbone::Connection& connection, int32_t stream);

  // Client side: set when the answer came or will not come.
  base::Event& Answered() { return answered_; }
  const h2::Headers& response() const { return response_; }  // empty: there was none
  bool closed() const { return stream_closed_; }

  // Server side. No effect when the stream is gone.
  void Respond(const h2::Headers& headers);
  void Refuse(const h2::Headers& headers);

  void Start(Events& events) override;
  size_t Room() const override;
  void Write(std::span<const std::byte> bytes) override;
  void End() override;
  void Consumed(size_t bytes) override;
  void Reset() override;

 private:
  void OnHeaders(const h2::Headers& headers) override;
  void OnData(std::span<const std::byte> data) override;
  void OnEnd() override;
  void OnClosed(uint32_t error_code) override;
  Produced Produce(std::span<std::byte> out) override;
  void RunDeferred() override;
  void Leave();

  base::EventLoop& loop_;
  hbone::Connection* connection_ = nullptr;
  int32_t stream_ = 0;
  Events* events_ = nullptr;
  base::Event answered_;
  h2::Headers response_;
  net::Buffer early_;  // arrived before Start
  net::Buffer unsent_;
  bool started_ = false;
  bool peer_ended_ = false;
  bool end_told_ = false;
  bool end_wanted_ = false;
  bool end_sent_ = false;
  bool stream_closed_ = false;
  bool clean_ = false;
  bool closed_told_ = false;
  bool was_full_ = false;
  bool reset_ = false;
};

}  // namespace mesh::transport
