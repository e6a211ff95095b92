// One application connection on one side and one stream of a tunnel on the other.
//
// It is the stream's handler from the stream's beginning, before the application's socket is there:
// what the peer sends early waits within the stream's window. Application bytes are read straight
// into the tunnel's output, and written from what was decrypted; memory is owned only while the
// application is blocked, 4 MiB (the stream's window) at most.
#pragma once

#include <cstdint>
#include <string>

#include "ztunnel/core/hbone/connection.h"
#include "ztunnel/core/net/buffer.h"
#include "ztunnel/core/net/socket.h"
#include "ztunnel/tunnel/relay.h"

namespace mesh::tunnel {

class TunnelRelay final : public Relay, public base::EventHandler, public h2::StreamHandler {
 public:
  enum class AppIs { kClient, kServer };
  TunnelRelay(base::EventLoop& loop, AppIs app_is);
  ~TunnelRelay() override;

  // Once the stream is open.
  void Bind(hbone::Connection& connection, int32_t stream);
  // Client side: set when the response came or will not come.
  base::Event& Answered() { return answered_; }
  const std::string& status_code() const {
    return status_code_;
  }  // empty: the stream ended without
  const h2::Headers& response() const { return response_; }
  uint32_t close_code() const { return close_code_; }
  // Nobody waits for an answer any more.
  bool stream_closed() const { return stream_closed_; }

  // Server side: the answers. No effect when the stream is gone.
  void Respond(const h2::Headers& headers);
  void Refuse(const h2::Headers& headers);

  void Start(net::Socket app, Counters counters);
  void Abort(absl::Status status) override;

 private:
  void OnEvents(uint32_t events) override;
  void OnHeaders(const h2::Headers& headers) override;
  void OnData(std::span<const std::byte> data) override;
  void OnEnd() override;
  void OnClosed(uint32_t error_code) override;
  Produced Produce(std::span<std::byte> out) override;

  void FlushPending();
  size_t WriteApp(std::span<const std::byte> bytes);
  void EndAppWriting();
  void Settle();
  void Fail(int error);
  void DropApp(bool reset);

  base::EventLoop& loop_;
  const AppIs app_is_;
  hbone::Connection* connection_ = nullptr;
  int32_t stream_ = 0;
  net::Socket app_;
  Counters counters_;
  net::Buffer pending_;     // for the application
  net::Budget::Hold hold_;  // of pending_, once the stream is gone that it counted for
  base::Event answered_;
  h2::Headers response_;
  std::string status_code_;
  uint32_t close_code_ = 0;
  bool started_ = false;
  bool readable_ = false;
  bool hangup_ = false;
  bool app_ended_ = false;
  bool peer_ended_ = false;
  bool stream_closed_ = false;
  bool shut_ = false;
};

}  // namespace mesh::tunnel
