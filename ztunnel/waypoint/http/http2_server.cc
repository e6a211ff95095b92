#include "ztunnel/waypoint/http/http2_server.h"

#include <absl/container/flat_hash_map.h>
#include <fmt/format.h>

#include "ztunnel/waypoint/http/http2_connection.h"

namespace mesh::http {
namespace {

constexpr uint32_t kStreamWindow = 256 << 10;
constexpr uint32_t kConnectionWindow = 1 << 20;
constexpr uint32_t kFrameBytes = 16 << 10;
constexpr absl::Duration kGoAwayGrace = absl::Seconds(1);

h2::Options ServerOptions(const Limits& limits) {
  h2::Options options;
  options.server = true;
  options.messages = true;
  options.extended_connect = true;
  options.stream_window_bytes = kStreamWindow;
  options.connection_window_bytes = kConnectionWindow;
  options.frame_bytes = kFrameBytes;
  options.data_frame_bytes = kFrameBytes;
  options.max_concurrent_streams = limits.max_concurrent_streams;
  options.header_bytes = static_cast<uint32_t>(limits.head_bytes);
  options.header_fields = static_cast<uint32_t>(limits.head_fields);
  options.buffered_bytes = limits.buffered_bytes * 4;
  return options;
}

class Stream final : public Http2StreamOf<ServerStream> {
 public:
  explicit Stream(Http2Link& link) : Http2StreamOf(link) {}

  void SendInterim(const ResponseHead& head) override {
    if (closed() || answered_) return;
    link_.session().Inform(id(), HeadersOf(head));
    link_.Touch();
  }
  void SendHead(const ResponseHead& head, bool end) override {
    if (closed() || answered_) return;
    answered_ = true;
    h2::Headers headers = HeadersOf(head);
    // An upgrade is accepted with 200 (RFC 8441, 5).
    if (head.status == 101) headers[0].value = "200";
    if (end) {
      ended_by_head_ = true;
      link_.session().RespondAndEnd(id(), headers);
    } else {
      link_.session().Respond(id(), headers);
    }
    link_.Touch();
  }

 private:
  void OnHeaders(const h2::Headers&) override {}
  // The whole answer was sent: that the client did not say all is no failure of the exchange.
  bool Complete() const override { return ended_by_head_ || ended(); }
  static h2::Headers HeadersOf(const ResponseHead& head) {
    h2::Headers headers = {{":status", fmt::format("{}", head.status)}};
    AppendFields(head.headers, headers);
    return headers;
  }

  bool answered_ = false;
  bool ended_by_head_ = false;
};

class Connection final : public ServerConnection, public Http2Connection {
 public:
  Connection(base::EventLoop& loop, std::unique_ptr<transport::Transport> transport,
             ServerVisitor& visitor, Limits limits)
      : Http2Connection(loop, std::move(transport), ServerOptions(limits), limits),
        visitor_(visitor) {
    ArmIdleTimer();
    Start();
  }
  ~Connection() override {
    CancelTimers();
    session().Abandon(h2::kConnectError);
  }

  size_t streams() const override { return streams_.size(); }

  void Drain() override {
    if (draining_) return;
    draining_ = true;
    session().GoAwayNotice();
    Touch();
    goaway_ = loop_.After(kGoAwayGrace, [this] {
      goaway_ = 0;
      session().GoAway();
      Touch();
      CloseIfDone();
    });
  }

 private:
  h2::StreamHandler* OnRequest(int32_t id, h2::Headers headers) override {
    if (idle_ != 0) loop_.CancelTimer(std::exchange(idle_, 0));
    RequestHead head;
    head.version = Version::kHttp2;
    const char* refused = ReadHead(headers, head);
    if (refused != nullptr) {
      session().RespondAndEnd(id, {{":status", refused}});
      visitor_.OnBadRequest(static_cast<uint16_t>(std::atoi(refused)), "refused request");
      Touch();
      return nullptr;
    }
    auto owned = std::make_unique<Stream>(*this);
    Stream* stream = owned.get();
    stream->SetId(id);
    streams_.emplace(id, std::move(owned));
    const bool end = session().HeadersEnded(id);
    if (end) stream->MarkPeerEnded();
    stream->SetEvents(visitor_.OnRequest(*stream, std::move(head), end));
    return stream;
  }

  // The status of a refusal, or null.
  static const char* ReadHead(const h2::Headers& headers, RequestHead& head) {
    std::string_view host;
    for (const h2::Header& header : headers) {
      if (header.name == ":method") head.method = header.value;
      if (header.name == ":scheme") head.scheme = header.value;
      if (header.name == ":authority") head.authority = header.value;
      if (header.name == ":path") head.path = header.value;
      if (header.name == ":protocol") head.upgrade = header.value;
      if (header.name == "host") host = header.value;
    }
    if (head.authority.empty()) {
      head.authority = host;
    } else if (!host.empty() && host != head.authority) {
      return "400";  // two answers to the question whom it is for
    }
    if (!head.authority.empty() && !IsAuthority(head.authority)) return "400";
    if (!head.upgrade.empty() && (head.upgrade == "h2c" || !IsFieldName(head.upgrade)))
      return "400";
    if (head.method == "CONNECT") {
      if (head.upgrade.empty()) return "405";
      head.method = "GET";
    }
    if (head.scheme.empty()) head.scheme = "http";
    head.headers = FieldsOf(headers);
    return nullptr;
  }

  void OnGoAway() override {}
  void OnPong() override {}

  void TellRoom() override {
    for (auto& [id, stream] : streams_) {
      if (stream->OwesRoom()) stream->TellRoom();
    }
  }
  void OnTurn() override {
    absl::erase_if(streams_, [](const auto& entry) { return entry.second->closed(); });
    if (streams_.empty()) {
      if (idle_ == 0) ArmIdleTimer();
      CloseIfDone();
    }
  }
  void CloseIfDone() {
    if (draining_ && goaway_ == 0 && streams_.empty()) Close();
  }
  void ArmIdleTimer() {
    idle_ = loop_.After(limits_.idle_timeout, [this] {
      idle_ = 0;
      Drain();
    });
  }
  void CancelTimers() {
    for (base::EventLoop::TimerId* timer : {&idle_, &goaway_}) {
      if (*timer != 0) loop_.CancelTimer(std::exchange(*timer, 0));
    }
  }
  void OnConnectionOver() override {
    CancelTimers();
    visitor_.OnConnectionClosed();
  }

  ServerVisitor& visitor_;
  absl::flat_hash_map<int32_t, std::unique_ptr<Stream>> streams_;
  base::EventLoop::TimerId idle_ = 0, goaway_ = 0;
  bool draining_ = false;
};

}  // namespace

std::unique_ptr<ServerConnection> MakeHttp2Server(base::EventLoop& loop,
                                                  std::unique_ptr<transport::Transport> transport,
                                                  ServerVisitor& visitor, Limits limits) {
  return std::make_unique<Connection>(loop, std::move(transport), visitor, limits);
}

}  // namespace mesh::http
