#include "ztunnel/waypoint/http/http1_client.h"

#include <string>
#include <utility>

#include "ztunnel/base/log.h"
#include "ztunnel/waypoint/http/chars.h"
#include "ztunnel/waypoint/http/http1_connection.h"
#include "ztunnel/waypoint/http/http1_head.h"
#include "ztunnel/waypoint/http/http1_write.h"
#include "ztunnel/waypoint/http/web_socket.h"

namespace mesh::http {
namespace {

constexpr int kMaxInterims = 16;

class Http1Client final : public Http1Connection,
                          public ClientConnection,
                          public ClientStream,
                          public base::Flusher {
 public:
  Http1Client(base::EventLoop& loop, std::unique_ptr<transport::Transport> transport,
              ClientConnectionVisitor& visitor, const Limits& limits)
      : Http1Connection(loop, std::move(transport), limits), visitor_(visitor), reader_(limits) {
    deadline_.Set(limits.idle_timeout);
    transport_->Start(*this);
  }
  ~Http1Client() override {
    loop_.CancelFlush(*this);
    EndStream(StreamError::kLocal);
  }

  // ClientConnection
  size_t Capacity() const override {
    return phase_ == Phase::kIdle && !closing() && !peer_ended_ && !draining_ ? 1 : 0;
  }
  ClientStream* Request(const RequestHead& head, bool end, ClientEvents& events) override;
  size_t streams() const override { return x_.open ? 1 : 0; }
  void Drain() override;

  // ClientStream
  size_t Room() const override {
    return x_.open && !x_.request_done && !UpgradePending() ? Http1Connection::Room() : 0;
  }
  void Write(std::span<const std::byte> bytes) override;
  void WriteTrailers(const HeaderMap& trailers) override { EndBody(&trailers); }
  void End() override { EndBody(nullptr); }
  void Consumed(size_t bytes) override {
    if (x_.open) Pay(bytes);
  }
  void Reset(StreamError why) override;
  void Detach() override;
  bool Sent() const override { return sent_; }

  void Flush() override { sent_ = true; }

 private:
  enum class Phase : uint8_t { kIdle, kHead, kBody, kDone };
  struct Exchange {
    bool open = false;  // the handler hears of it
    ClientEvents* events = nullptr;
    StreamError error = StreamError::kNone;
    bool to_head = false;
    bool unwritten = false;  // the request could not be written
    bool request_done = false;
    bool reuse = false;  // by what the answer says
    bool upgraded = false;
    bool early_end = false;
    int interims = 0;
    std::string upgrade;
    std::string web_socket_accept;  // expected, when the key is ours
  };

  // Http1Connection
  bool Read(std::string_view& in) override;
  void Settle() override;
  void ReadEnd() override;
  void ConnectionClosed() override;
  void DeadlinePassed() override { GoAway(); }
  StreamEvents* BodyEvents() override { return x_.open ? x_.events : nullptr; }

  void WriteHead(const RequestHead& head, bool end);
  void ReadHead(std::string_view& in);
  void ReadBody(std::string_view& in);
  void Head(std::string_view in);
  void Interim();
  void Upgraded();
  void AnswerDone(std::string_view in);
  void EndBody(const HeaderMap* trailers);
  void EndStream(StreamError error);
  void Fail(StreamError error);
  void BecomeIdle() {
    phase_ = Phase::kIdle;
    deadline_.Set(limits_.idle_timeout);
  }
  void GoAway();
  bool UpgradePending() const { return !x_.upgrade.empty() && !x_.upgraded; }

  ClientConnectionVisitor& visitor_;
  ResponseReader reader_;
  Phase phase_ = Phase::kIdle;
  Exchange x_;
  net::Buffer early_;  // written before an upgrade was accepted
  bool sent_ = false;
  bool draining_ = false;
};

// ---- Requests

ClientStream* Http1Client::Request(const RequestHead& head, bool end, ClientEvents& events) {
  MESH_CHECK(Capacity() > 0, "a request to a connection that is busy");
  deadline_.Clear();
  x_ = Exchange();
  x_.open = true;
  x_.events = &events;
  x_.to_head = head.method == "HEAD";
  x_.upgrade = head.upgrade;
  x_.request_done = end;
  phase_ = Phase::kHead;
  sent_ = false;
  WriteHead(head, end);
  return this;
}

void Http1Client::WriteHead(const RequestHead& head, bool end) {
  const std::optional<RequestForm> form = FormOf(head, end);
  std::string key;
  if (head.upgrade == "websocket" && !head.headers.Has("sec-websocket-key")) {
    key = MakeWebSocketKey();
    x_.web_socket_accept = WebSocketAccept(key);
  }
  if (!form || !AppendRequest(head, *form, scratch_)) {
    scratch_.clear();
    x_.unwritten = true;
    x_.error = StreamError::kProtocol;
    return Defer();
  }
  if (!key.empty()) {
    scratch_.resize(scratch_.size() - 2);  // before the empty line
    scratch_.append("sec-websocket-key: ").append(key).append("\r\n\r\n");
  }
  Send();
  body_out_.Start(form->framing);
  loop_.RequestFlush(*this);
}

void Http1Client::Write(std::span<const std::byte> bytes) {
  if (!x_.open || x_.request_done || closing() || x_.unwritten) return;
  if (UpgradePending()) return early_.Append(bytes);
  if (!body_out_.Write(*transport_, bytes)) Fail(StreamError::kLocal);
}

void Http1Client::EndBody(const HeaderMap* trailers) {
  if (!x_.open || x_.request_done || closing() || x_.unwritten) return;
  if (UpgradePending()) {
    x_.early_end = true;
    return;
  }
  if (!body_out_.End(*transport_, trailers)) return Fail(StreamError::kLocal);
  x_.request_done = true;
  if (!x_.upgraded) return;
  EndOutput();
  Defer();
}

void Http1Client::Reset(StreamError) {
  if (x_.open && x_.error == StreamError::kNone) Fail(StreamError::kLocal);
}

void Http1Client::Detach() {
  if (!x_.open) return;
  if (phase_ != Phase::kDone || x_.upgraded) Reset(StreamError::kLocal);
  x_.events = nullptr;
  PayAll();
}

void Http1Client::Fail(StreamError error) {
  x_.error = error;
  Break();
  Defer();
}

// ---- Answers

bool Http1Client::Read(std::string_view& in) {
  switch (phase_) {
    case Phase::kHead:
      ReadHead(in);
      break;
    case Phase::kBody:
      ReadBody(in);
      break;
    case Phase::kDone:
      in = {};
      break;  // AnswerDone has seen them
    case Phase::kIdle:
      // Nobody asked: the next answer would be taken for something that it is not.
      Break();
      visitor_.OnCapacity();
  }
  return true;
}

void Http1Client::ReadHead(std::string_view& in) {
  switch (reader_.Read(in)) {
    case HeadReader::Result::kMore:
      break;
    case HeadReader::Result::kError:
      Fail(StreamError::kProtocol);
      break;
    case HeadReader::Result::kDone:
      Head(in);
      break;
  }
}

void Http1Client::Head(std::string_view in) {
  const uint16_t status = reader_.status();
  if (status == 101) return Upgraded();
  if (status < 200) return Interim();
  const BodyFraming framing = reader_.Framing(x_.to_head);
  x_.reuse = reader_.Persistent() && framing.kind != BodyFraming::Kind::kUntilClose;
  if (!x_.upgrade.empty()) {
    x_.request_done = true;  // declined
    early_.Free();
  }
  const bool end = framing.kind == BodyFraming::Kind::kNone;
  body_in_.Start(framing, limits_.trailer_bytes);
  phase_ = Phase::kBody;
  ResponseHead head = reader_.TakeHead();
  reader_.Clear();
  if (end) AnswerDone(in);
  if (x_.open && x_.events != nullptr) x_.events->OnHead(std::move(head), end);
}

void Http1Client::Interim() {
  const ResponseHead head = reader_.TakeHead();
  reader_.Clear();
  if (++x_.interims > kMaxInterims) return Fail(StreamError::kProtocol);
  if (x_.events != nullptr) x_.events->OnInterim(head);
}

void Http1Client::Upgraded() {
  const ConnectionFields& said = reader_.connection();
  const bool agreed = UpgradePending() && said.upgrade && said.upgrade_to == x_.upgrade;
  ResponseHead head = reader_.TakeHead();
  const bool accepted = x_.web_socket_accept.empty() ||
                        head.headers.Find("sec-websocket-accept") == x_.web_socket_accept;
  reader_.Clear();
  if (!agreed || !accepted) return Fail(StreamError::kProtocol);
  if (!x_.web_socket_accept.empty()) head.headers.Remove("sec-websocket-accept");
  x_.upgraded = true;
  const BodyFraming raw{BodyFraming::Kind::kUntilClose};
  body_in_.Start(raw, 0);
  body_out_.Start(raw);
  phase_ = Phase::kBody;
  if (!early_.empty()) transport_->Write(early_.data());
  early_.Free();
  if (x_.early_end) EndBody(nullptr);
  if (x_.events == nullptr) return;
  x_.events->OnHead(std::move(head), false);
  if (x_.open && x_.events != nullptr && Room() > 0) x_.events->OnRoom();
}

void Http1Client::ReadBody(std::string_view& in) {
  switch (body_in_.Next(in)) {
    case BodyReader::Event::kMore:
      break;
    case BodyReader::Event::kError:
      Fail(StreamError::kProtocol);
      break;
    case BodyReader::Event::kData: {
      const bool done = body_in_.Done();
      if (done) AnswerDone(in);
      Deliver(body_in_.data());
      if (StreamEvents* events = done ? BodyEvents() : nullptr) events->OnEnd();
      break;
    }
    case BodyReader::Event::kEnd:
      AnswerDone(in);
      if (StreamEvents* events = BodyEvents()) events->OnEnd();
      break;
    case BodyReader::Event::kTrailers:
      AnswerDone(in);
      if (StreamEvents* events = BodyEvents()) events->OnTrailers(body_in_.TakeTrailers());
  }
}

// `in`: what came behind the answer; there should be nothing.
void Http1Client::AnswerDone(std::string_view in) {
  phase_ = Phase::kDone;
  x_.reuse = x_.reuse && in.empty();
}

void Http1Client::ReadEnd() {
  switch (phase_) {
    case Phase::kIdle:
      GoAway();
      break;
    case Phase::kDone:
      break;
    case Phase::kHead:
      Fail(StreamError::kReset);
      break;
    case Phase::kBody:
      if (!body_in_.EndsWithConnection()) return Fail(StreamError::kReset);
      AnswerDone({});
      x_.reuse = false;
      if (StreamEvents* events = BodyEvents()) events->OnEnd();
  }
}

// ---- Exchanges end

void Http1Client::Settle() {
  if (x_.error != StreamError::kNone) {
    const bool unwritten = x_.unwritten && !closing();
    if (unwritten) BecomeIdle();
    EndStream(std::exchange(x_.error, StreamError::kNone));
    if (unwritten && Capacity() > 0) visitor_.OnCapacity();
    return;
  }
  if (phase_ != Phase::kDone || (x_.upgraded && !x_.request_done)) return;
  const bool reuse = x_.reuse && x_.request_done && !draining_ && !peer_ended_ && !closing();
  if (reuse) {
    BecomeIdle();
  } else if (x_.open) {
    x_.request_done ? Linger() : Break();
  }
  if (!x_.open) return;
  EndStream(StreamError::kNone);
  visitor_.OnCapacity();
}

void Http1Client::EndStream(StreamError error) {
  if (!std::exchange(x_.open, false)) return;
  PayAll();
  early_.Free();
  if (ClientEvents* const events = std::exchange(x_.events, nullptr)) events->OnClosed(error);
}

void Http1Client::ConnectionClosed() {
  EndStream(StreamError::kReset);
  visitor_.OnConnectionClosed();
}

void Http1Client::GoAway() {
  if (closing()) return;
  Linger();
  visitor_.OnCapacity();
}

void Http1Client::Drain() {
  draining_ = true;
  if (phase_ == Phase::kIdle) Linger();
}

}  // namespace

std::unique_ptr<ClientConnection> MakeHttp1Client(base::EventLoop& loop,
                                                  std::unique_ptr<transport::Transport> transport,
                                                  ClientConnectionVisitor& visitor, Limits limits) {
  return std::make_unique<Http1Client>(loop, std::move(transport), visitor, limits);
}

}  // namespace mesh::http
