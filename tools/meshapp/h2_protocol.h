// HTTP/2 in clear text over nghttp2: the same answers as HTTP/1, and gRPC echo:
//   /echo.EchoService/Echo (and any method named Echo or EchoStream): every message comes back as
//   it was, unary or streamed; `grpc-status: 0` in the trailers once the client has ended. Metadata
//   `x-grpc-status: N` ends the call with that status instead.
//   /grpc.health.v1.Health/Check: SERVING. Other gRPC paths: UNIMPLEMENTED.
//
// Input is acknowledged (WINDOW_UPDATE) as its echo is sent, so a stream holds at most one window.
#pragma once

#include <nghttp2/nghttp2.h>

#include <map>
#include <memory>

#include "tools/meshapp/connection.h"
#include "tools/meshapp/service.h"

namespace mesh::meshapp {

class H2Protocol : public Protocol {
 public:
  H2Protocol(Connection& connection, Service& service);
  ~H2Protocol() override;
  // After `Upgrade: h2c`: `request` becomes stream 1. Null when the settings are malformed.
  static std::unique_ptr<H2Protocol> Upgrade(Connection& connection, Service& service,
                                             std::string_view settings_base64url, Request request);

  void OnOpen() override;
  size_t OnData(std::string_view in) override;
  void OnPeerEnd() override;
  void OnDrained() override;
  void Drain() override;

 private:
  struct Stream {
    Request request;
    std::string content_type;
    std::string out;
    size_t sent = 0;
    uint64_t filler_left = 0;
    bool out_complete = false;
    bool echo = false;
    bool dispatched = false;
    bool deferred = false;    // nghttp2 was told to ask again later
    std::string grpc_status;  // trailers when not empty
  };
  struct Callbacks;  // of nghttp2

  void StartStream(int32_t id, Stream& stream);
  void EndOfRequest(int32_t id, Stream& stream);
  void Dispatch(int32_t id, Stream& stream);
  void SubmitGrpc(int32_t id, Stream& stream);
  void Submit(int32_t id, Stream& stream, int status, std::string_view content_type,
              bool with_length);
  void Resume(int32_t id, Stream& stream);
  void SendPending();
  Stream* Find(int32_t id);

  Connection& connection_;
  Service& service_;
  nghttp2_session* session_ = nullptr;
  std::map<int32_t, Stream> streams_;
  bool receiving_ = false;
};

}  // namespace mesh::meshapp
