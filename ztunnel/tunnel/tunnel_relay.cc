#include "ztunnel/tunnel/tunnel_relay.h"

#include <utility>

#include "ztunnel/base/status.h"

namespace mesh::tunnel {

TunnelRelay::TunnelRelay(base::EventLoop& loop, AppIs app_is)
    : Relay(loop), loop_(loop), app_is_(app_is), answered_(loop) {}

TunnelRelay::~TunnelRelay() {
  if (connection_ != nullptr && !stream_closed_) {
    connection_->Detach(stream_);
    connection_->Reset(stream_, h2::kConnectError);
  }
  DropApp(!(finished() && result().ok()));
}

void TunnelRelay::Bind(hbone::Connection& connection, int32_t stream) {
  connection_ = &connection;
  stream_ = stream;
  hold_.Join(connection.budget());
}

void TunnelRelay::Respond(const h2::Headers& headers) {
  if (connection_ != nullptr) connection_->Respond(stream_, headers);
}

void TunnelRelay::Refuse(const h2::Headers& headers) {
  if (connection_ == nullptr) return;
  // The answer ends the stream by itself; a reset of ours would overtake it.
  connection_->RespondAndEnd(stream_, headers);
  connection_->Detach(stream_);
  connection_ = nullptr;
}

void TunnelRelay::Start(net::Socket app, Counters counters) {
  if (finished()) return app.Reset();
  app_ = std::move(app);
  counters_ = counters;
  started_ = true;
  readable_ = true;
  absl::Status watched = loop_.Add(app_.fd(), EPOLLIN | EPOLLOUT | EPOLLRDHUP, *this);
  if (!watched.ok()) return Abort(telemetry::WithReason(std::move(watched), MESH_REASON_LIMIT));
  FlushPending();
  if (!finished() && connection_ != nullptr) connection_->Resume(stream_);
}

void TunnelRelay::OnEvents(uint32_t events) {
  if (finished()) return;
  if ((events & EPOLLERR) != 0) {
    if (const int error = app_.TakeError(); error != 0) return Fail(error);
  }
  if ((events & EPOLLOUT) != 0 && !pending_.empty()) FlushPending();
  if (finished() || (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP)) == 0) return;
  readable_ = true;
  hangup_ = hangup_ || (events & (EPOLLRDHUP | EPOLLHUP)) != 0;
  if (!stream_closed_) connection_->Resume(stream_);
}

void TunnelRelay::OnHeaders(const h2::Headers& headers) {
  status_code_ = h2::Find(headers, ":status");
  response_ = headers;
  answered_.Set();
}

h2::StreamHandler::Produced TunnelRelay::Produce(std::span<std::byte> out) {
  if (finished()) return {Produced::Kind::kReset};
  if (!started_ || !readable_ || app_ended_) return {Produced::Kind::kBlocked};
  const net::IoResult read = app_.Read(out);
  switch (read.kind) {
    case net::IoResult::Kind::kBlocked:
      readable_ = false;
      return {Produced::Kind::kBlocked};
    case net::IoResult::Kind::kEnd:
      app_ended_ = true;
      return {Produced::Kind::kEnd};
    case net::IoResult::Kind::kError:
      Fail(read.error);
      return {Produced::Kind::kReset};
    case net::IoResult::Kind::kDone:
      break;
  }
  if (read.bytes < out.size() && !hangup_) readable_ = false;
  if (app_is_ == AppIs::kClient) {
    counters_.ToServer(read.bytes);
  } else {
    counters_.ToClient(read.bytes);
  }
  return {Produced::Kind::kData, read.bytes};
}

void TunnelRelay::OnData(std::span<const std::byte> data) {
  if (finished()) return;
  if (started_ && pending_.empty()) {
    const size_t written = WriteApp(data);
    if (finished()) return;
    connection_->Consumed(stream_, written);
    data = data.subspan(written);
  }
  pending_.Append(data);
}

// What the application took; it is told to end everything when the application is gone.
size_t TunnelRelay::WriteApp(std::span<const std::byte> bytes) {
  if (bytes.empty()) return 0;
  const net::IoResult written = app_.Write(bytes);
  if (written.kind == net::IoResult::Kind::kError) Fail(written.error);
  if (written.kind != net::IoResult::Kind::kDone) return 0;
  if (app_is_ == AppIs::kClient) {
    counters_.ToClient(written.bytes);
  } else {
    counters_.ToServer(written.bytes);
  }
  return written.bytes;
}

void TunnelRelay::FlushPending() {
  while (!pending_.empty()) {
    const size_t written = WriteApp(pending_.data());
    if (finished() || written == 0) return;
    pending_.Consume(written);
    if (stream_closed_) {
      hold_.Set(pending_.size());
    } else {
      connection_->Consumed(stream_, written);
    }
  }
  pending_.Free();
  if (peer_ended_) EndAppWriting();
  Settle();
}

void TunnelRelay::OnEnd() {
  peer_ended_ = true;
  if (started_ && pending_.empty()) EndAppWriting();
  Settle();
}

void TunnelRelay::OnClosed(uint32_t error_code) {
  stream_closed_ = true;
  close_code_ = error_code;
  hbone::Connection* const connection = std::exchange(connection_, nullptr);
  answered_.Set();
  if (finished()) return;
  hold_.Set(pending_.size());
  // A peer that leaves its bytes behind and comes with more would never be held back.
  if (!pending_.empty() && connection->budget().Over()) {
    return Abort(telemetry::WithReason(
        ResourceExhausted("the application did not take what the peer sent"), MESH_REASON_LIMIT));
  }
  if (error_code == h2::kNoError || error_code == h2::kCancel) {
    // The end, also where the peer says CANCEL: it has closed, not failed.
    peer_ended_ = true;
    if (started_ && pending_.empty()) EndAppWriting();
    Settle();
    return;
  }
  if (started_) DropApp(true);
  Finish(telemetry::WithReason(
      Unavailable("the tunnel's stream was reset (HTTP/2 error {})", error_code),
      MESH_REASON_PEER_RESET));
}

void TunnelRelay::EndAppWriting() {
  if (shut_ || finished()) return;
  shut_ = true;
  app_.ShutdownWrite();
}

void TunnelRelay::Settle() {
  if (started_ && stream_closed_ && shut_) Finish(absl::OkStatus());
}

void TunnelRelay::Fail(int error) {
  Abort(telemetry::WithReason(Errno(error, "application"), MESH_REASON_PEER_RESET));
}

void TunnelRelay::Abort(absl::Status status) {
  if (finished()) return;
  // The stream is reset now; its handler stays until OnClosed or the destructor.
  if (connection_ != nullptr && !stream_closed_) connection_->Reset(stream_, h2::kConnectError);
  DropApp(true);
  Finish(std::move(status));
}

void TunnelRelay::DropApp(bool reset) {
  if (!app_) return;
  loop_.Remove(app_.fd(), *this);
  if (reset) {
    app_.Reset();
  } else {
    app_.Close();
  }
}

}  // namespace mesh::tunnel
