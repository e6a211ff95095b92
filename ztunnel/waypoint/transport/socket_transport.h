// A TCP socket as a Transport: pods outside the mesh, hosts outside the cluster, and clients of the
// plain listener that tests use.
//
// Memory: what is written and not yet sent, kMaxUnsent and one chunk at most. Reading stops while
// more than kMaxHeld bytes are not Consumed.
#pragma once

#include "ztunnel/base/async/event_loop.h"
#include "ztunnel/core/net/buffer.h"
#include "ztunnel/core/net/socket.h"
#include "ztunnel/waypoint/transport/transport.h"

namespace mesh::transport {

class SocketTransport final : public Transport,
                              public base::EventHandler,
                              public base::Flusher,
                              public base::Deferred {
 public:
  static constexpr size_t kMaxUnsent = 256 << 10;
  static constexpr size_t kMaxHeld = 256 << 10;

  SocketTransport(base::EventLoop& loop, net::SharedBuffers& buffers, net::Socket socket);
  ~SocketTransport() override;

  void Start(Events& events) override;
  size_t Room() const override;
  void Write(std::span<const std::byte> bytes) override;
  void End() override;
  void Consumed(size_t bytes) override;
  void Reset() override;

 private:
  void OnEvents(uint32_t events) override;
  void Flush() override;
  void RunDeferred() override;
  void Read();
  void Close(bool clean);

  base::EventLoop& loop_;
  net::SharedBuffers& buffers_;
  net::Socket socket_;
  Events* events_ = nullptr;
  net::Buffer unsent_;
  size_t held_ = 0;
  bool readable_ = false;  // there may be something to read
  bool blocked_ = false;   // the socket took less than it was given
  bool peer_ended_ = false;
  bool end_wanted_ = false;
  bool shut_ = false;
  bool was_full_ = false;
  bool closed_ = false;
  bool clean_ = false;
  bool closed_told_ = false;
};

}  // namespace mesh::transport
