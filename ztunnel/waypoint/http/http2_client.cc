#include "ztunnel/waypoint/http/http2_client.h"

#include <absl/container/flat_hash_map.h>

#include <charconv>
#include <list>

#include "ztunnel/waypoint/http/http2_connection.h"

namespace mesh::http {
namespace {

constexpr uint32_t kStreamWindow = 256 << 10;
constexpr uint32_t kConnectionWindow = 4 << 20;
constexpr uint32_t kFrameBytes = 16 << 10;

h2::Options ClientOptions(const Limits& limits) {
  h2::Options options;
  options.messages = true;
  options.stream_window_bytes = kStreamWindow;
  options.connection_window_bytes = kConnectionWindow;
  options.frame_bytes = kFrameBytes;
  options.data_frame_bytes = kFrameBytes;
  options.header_bytes = static_cast<uint32_t>(limits.head_bytes);
  options.header_fields = static_cast<uint32_t>(limits.head_fields);
  options.buffered_bytes = limits.buffered_bytes * 16;
  return options;
}

class Stream final : public Http2StreamOf<ClientStream> {
 public:
  Stream(Http2Link& link, ClientEvents& events) : Http2StreamOf(link), client_(&events) {
    SetEvents(&events);
  }

  bool Sent() const override { return sent_; }
  void MarkSent() { sent_ = true; }

  void Detach() override {
    client_ = nullptr;
    Http2Body::Detach();
  }

 private:
  void OnInterim(const h2::Headers& headers) override {
    if (client_ != nullptr) client_->OnInterim(HeadOf(headers));
  }
  void OnHeaders(const h2::Headers& headers) override {
    const bool end = link_.session().HeadersEnded(id());
    if (end) MarkPeerEnded();
    if (client_ != nullptr) client_->OnHead(HeadOf(headers), end);
  }
  // The answer was complete; what was not sent of the request, nobody wanted.
  bool Complete() const override { return peer_ended(); }
  static ResponseHead HeadOf(const h2::Headers& headers) {
    ResponseHead head;
    head.version = Version::kHttp2;
    const std::string_view status = h2::Find(headers, ":status");
    std::from_chars(status.data(), status.data() + status.size(), head.status);
    head.headers = FieldsOf(headers);
    return head;
  }

  ClientEvents* client_;
  bool sent_ = false;
};

class Connection final : public ClientConnection, public Http2Connection {
 public:
  Connection(base::EventLoop& loop, std::unique_ptr<transport::Transport> transport,
             ClientConnectionVisitor& visitor, Limits limits)
      : Http2Connection(loop, std::move(transport), ClientOptions(limits), limits),
        visitor_(visitor) {
    Start();
  }
  ~Connection() override {
    session().Abandon(h2::kConnectError);
    TellFailed();
  }

  size_t streams() const override { return open_; }

  size_t Capacity() const override {
    if (draining_ || ending() || !session_ref().TakesRequests()) return 0;
    const uint32_t peers = session_ref().peer_max_streams();
    const size_t limit = std::min<size_t>(peers, kMaxStreams);
    return open_ >= limit ? 0 : limit - open_;
  }

  ClientStream* Request(const RequestHead& head, bool end, ClientEvents& events) override {
    auto owned = std::make_unique<Stream>(*this, events);
    Stream* stream = owned.get();
    streams_.push_back(std::move(owned));
    ++open_;
    Send(head, end, *stream);
    Touch();
    return stream;
  }

  void Drain() override {
    draining_ = true;
    Touch();
  }

 private:
  static constexpr size_t kMaxStreams = 1000;

  void Send(const RequestHead& head, bool end, Stream& stream) {
    if (!head.upgrade.empty() && !session().PeerTakesExtendedConnect()) {
      failed_.push_back({&stream, h2::kProtocolError});
      return;
    }
    absl::StatusOr<int32_t> id = session().Request(HeadersOf(head), stream, end);
    if (!id.ok()) {
      failed_.push_back({&stream, h2::kRefusedStream});
      return;
    }
    stream.SetId(*id);
    fresh_.push_back(&stream);
  }

  const h2::Session& session_ref() const { return const_cast<Connection*>(this)->session(); }

  static h2::Headers HeadersOf(const RequestHead& head) {
    h2::Headers headers;
    headers.reserve(head.headers.size() + 5);
    headers.push_back({":method", head.upgrade.empty() ? head.method : "CONNECT"});
    if (!head.upgrade.empty()) headers.push_back({":protocol", head.upgrade});
    headers.push_back({":scheme", head.scheme.empty() ? "http" : head.scheme});
    headers.push_back({":authority", head.authority});
    headers.push_back({":path", head.path});
    AppendFields(head.headers, headers);
    return headers;
  }

  h2::StreamHandler* OnRequest(int32_t, h2::Headers) override { return nullptr; }
  void OnGoAway() override {
    draining_ = true;
    Touch();
  }
  void OnPong() override {}

  void TellRoom() override {
    for (const auto& stream : streams_) {
      if (stream->OwesRoom()) stream->TellRoom();
    }
  }
  void OnTurn() override {
    for (Stream* stream : std::exchange(fresh_, {})) stream->MarkSent();
    TellFailed();
    const size_t before = open_;
    streams_.remove_if([](const auto& stream) { return stream->closed(); });
    open_ = streams_.size();
    if (draining_ && open_ == 0) {
      Close();
      return;
    }
    const size_t capacity = Capacity();
    if (open_ < before || capacity != told_) {
      told_ = capacity;
      visitor_.OnCapacity();
    }
  }
  void TellFailed() {
    for (const auto& [stream, code] : std::exchange(failed_, {})) {
      static_cast<h2::StreamHandler*>(stream)->OnClosed(code);
    }
  }
  void OnConnectionOver() override {
    TellFailed();
    visitor_.OnConnectionClosed();
  }

  ClientConnectionVisitor& visitor_;
  std::list<std::unique_ptr<Stream>> streams_;
  std::vector<Stream*> fresh_;                             // not sent yet
  std::vector<std::pair<Stream*, h2::ErrorCode>> failed_;  // never will be
  size_t open_ = 0;
  size_t told_ = 0;
  bool draining_ = false;
};

}  // namespace

std::unique_ptr<ClientConnection> MakeHttp2Client(base::EventLoop& loop,
                                                  std::unique_ptr<transport::Transport> transport,
                                                  ClientConnectionVisitor& visitor, Limits limits) {
  return std::make_unique<Connection>(loop, std::move(transport), visitor, limits);
}

}  // namespace mesh::http
