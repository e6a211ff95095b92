// Copies between two sockets: pass-through, inbound plain text, and both ends on this node.
//
// Bytes go through the worker's shared buffer; a direction owns memory (256 KiB at most) only while
// its receiver is blocked, and its sender is not read then.
#pragma once

#include "ztunnel/core/net/buffer.h"
#include "ztunnel/core/net/socket.h"
#include "ztunnel/tunnel/relay.h"

namespace mesh::tunnel {

class PlainRelay final : public Relay {
 public:
  PlainRelay(base::EventLoop& loop, net::SharedBuffers& buffers, net::Socket client,
             net::Socket server, Counters counters);
  ~PlainRelay() override;

  void Start();
  void Abort(absl::Status status) override;

 private:
  struct Side final : base::EventHandler {
    void OnEvents(uint32_t events) override { relay->OnSide(*this, events); }
    PlainRelay* relay = nullptr;
    net::Socket socket;
    net::Buffer pending;  // to be written here
    net::Budget::Hold hold;
    bool readable = true;  // until a read says otherwise
    bool hangup = false;   // the end is near: read until it is seen
    bool ended = false;    // has sent all it will
    bool shut = false;     // has been told that the other ended
  };
  void OnSide(Side& side, uint32_t events);
  void Pump(Side& from, Side& to);
  bool Deliver(Side& to, std::span<const std::byte> bytes);  // false: failed
  void EndWriting(Side& to);
  void Fail(int error);
  void Settle();

  base::EventLoop& loop_;
  net::SharedBuffers& buffers_;
  Side client_;
  Side server_;
  Counters counters_;
  base::EventLoop::TimerId again_ = 0;
};

}  // namespace mesh::tunnel
