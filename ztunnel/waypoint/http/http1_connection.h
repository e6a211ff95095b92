// What a server's and a client's HTTP/1 connection do alike: how bytes that cannot be read yet
// wait, how what was read is paid for, and how the connection ends.
//
// Thread: the loop's. Everything that calls a handler's last events runs from the top of the stack:
// from the transport, a timer, or deferred.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "ztunnel/base/async/event_loop.h"
#include "ztunnel/core/net/buffer.h"
#include "ztunnel/waypoint/http/deadline.h"
#include "ztunnel/waypoint/http/http1_body.h"
#include "ztunnel/waypoint/http/stream.h"
#include "ztunnel/waypoint/transport/transport.h"

namespace mesh::http {

class Http1Connection : public transport::Events, public base::Deferred {
 public:
  Http1Connection(const Http1Connection&) = delete;
  Http1Connection& operator=(const Http1Connection&) = delete;

  void OnBytes(std::span<const std::byte> bytes) final;
  void OnEnd() final;
  void OnRoom() final;
  void OnClosed(bool clean) final;
  void RunDeferred() final;

 protected:
  Http1Connection(base::EventLoop& loop, std::unique_ptr<transport::Transport> transport,
                  const Limits& limits);
  ~Http1Connection() override;

  // ---- Of the kind of connection

  // Takes bytes from the front of `in` while it can make something of them. True when it should be
  // called again if some are left; a handler's answer may have changed what they mean.
  virtual bool Read(std::string_view& in) = 0;
  // The exchange is over if it can be: ends its stream, gets ready for the next.
  virtual void Settle() = 0;
  // The peer sends no more and all it sent has been read.
  virtual void ReadEnd() = 0;
  // Ends a stream that is left, and tells the visitor.
  virtual void ConnectionClosed() = 0;
  virtual void DeadlinePassed() = 0;
  virtual StreamEvents* BodyEvents() = 0;  // null: nobody

  // ---- For it

  // Body bytes for the handler, to be paid by Pay; thrown away when nobody listens.
  void Deliver(std::string_view bytes);
  void Pay(size_t bytes);  // Consumed of delivered bytes
  void PayAll();           // what the handler of the last exchange left
  void Defer() { loop_.Defer(*this); }
  size_t Room() const { return closed_ ? 0 : transport_->Room(); }
  void Send();  // what is in scratch_
  void EndOutput();
  // Ends in good order: what was written leaves, what still comes is thrown away for a while.
  void Linger();
  void Break();  // RST
  bool closing() const { return lingering_ || broken_ || closed_; }

  base::EventLoop& loop_;
  const Limits limits_;
  std::unique_ptr<transport::Transport> transport_;
  BodyReader body_in_;
  BodyWriter body_out_;
  Deadline deadline_;
  std::string scratch_;  // a head on its way out
  bool peer_ended_ = false;
  bool clean_ = false;   // how the transport closed
  bool closed_ = false;  // it has
  bool broken_ = false;  // we broke it off
  bool lingering_ = false;

 private:
  void ReadAll(std::string_view& in);
  void ReadHeld();

  net::Buffer held_;       // not read yet; the transport's window bounds it
  net::Buffer late_;       // came while something else was being read
  size_t owed_ = 0;        // delivered, not yet paid
  size_t body_bytes_ = 0;  // delivered in this call of Read
  size_t lingered_ = 0;    // bytes thrown away
  bool output_ended_ = false;
  bool reading_ = false;
  bool told_ = false;  // the visitor
};

}  // namespace mesh::http
