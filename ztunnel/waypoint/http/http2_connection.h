// What both sides of HTTP/2 share: a core/h2 session on a transport.
#pragma once

#include <memory>
#include <vector>

#include "ztunnel/base/async/event_loop.h"
#include "ztunnel/waypoint/http/http2_stream.h"
#include "ztunnel/waypoint/transport/transport.h"

namespace mesh::http {

class Http2Connection : public transport::Events,
                        public h2::SessionVisitor,
                        public base::Deferred,
                        public Http2Link {
 public:
  Http2Connection(base::EventLoop& loop, std::unique_ptr<transport::Transport> transport,
                  h2::Options options, Limits limits);
  ~Http2Connection() override;

 protected:
  // To be called by the end of the constructor of what derives from this.
  void Start();
  h2::Session& session() override { return *session_; }
  void Touch() override;
  size_t buffered_limit() const override { return limits_.buffered_bytes; }

  bool ending() const { return ending_ || over_; }
  // Ends with what was sent so far; all streams hear of it.
  void Close();
  virtual void OnConnectionOver() = 0;  // once; the object may be destroyed, later
  virtual void TellRoom() = 0;          // to streams that are owed it
  virtual void OnTurn() {}              // something was received or sent

  base::EventLoop& loop_;
  const Limits limits_;

 private:
  void OnBytes(std::span<const std::byte> bytes) override;
  void OnEnd() override;
  void OnRoom() override;
  void OnClosed(bool clean) override;
  void RunDeferred() override;
  void Send();

  std::unique_ptr<transport::Transport> transport_;
  std::unique_ptr<h2::Session> session_;
  net::Buffer out_;
  size_t owed_ = 0;      // read while the transport had no room: our own answers must not pile up
  bool ending_ = false;  // no more is read; what the transport holds still goes
  base::EventLoop::TimerId linger_ = 0;
  bool over_ = false;
  bool over_told_ = false;
};

}  // namespace mesh::http
