#include "ztunnel/waypoint/http/http1_server.h"

#include <string>
#include <utility>

#include "ztunnel/base/log.h"
#include "ztunnel/waypoint/http/http1_connection.h"
#include "ztunnel/waypoint/http/http1_head.h"
#include "ztunnel/waypoint/http/http1_write.h"
#include "ztunnel/waypoint/http/web_socket.h"

namespace mesh::http {
namespace {

// Of a request's body that nobody wants any more: read and thrown away to keep the connection.
constexpr uint64_t kDiscardBytes = 64 << 10;

class Http1Server final : public Http1Connection, public ServerConnection, public ServerStream {
 public:
  Http1Server(base::EventLoop& loop, std::unique_ptr<transport::Transport> transport,
              ServerVisitor& visitor, const Limits& limits)
      : Http1Connection(loop, std::move(transport), limits), visitor_(visitor), reader_(limits) {
    deadline_.Set(limits.idle_timeout);
    transport_->Start(*this);
  }
  ~Http1Server() override { EndStream(StreamError::kLocal); }

  // ServerConnection
  size_t streams() const override { return x_.open ? 1 : 0; }
  void Drain() override;

  // ServerStream
  size_t Room() const override { return x_.open ? Http1Connection::Room() : 0; }
  void SendInterim(const ResponseHead& head) override;
  void SendHead(const ResponseHead& head, bool end) override;
  void Write(std::span<const std::byte> bytes) override;
  void WriteTrailers(const HeaderMap& trailers) override { EndBody(&trailers); }
  void End() override { EndBody(nullptr); }
  void Consumed(size_t bytes) override {
    if (x_.open) Pay(bytes);
  }
  void Reset(StreamError why) override;
  void Detach() override;

 private:
  enum class Phase : uint8_t {
    kHead,
    kBody,
    kWait
  };  // kWait: the answer comes before what follows
  struct Exchange {
    bool open = false;  // the handler hears of it
    StreamEvents* events = nullptr;
    StreamError error = StreamError::kNone;
    bool to_head = false;
    bool old = false;  // HTTP/1.0
    bool expects_continue = false;
    bool body_seen = false;
    bool request_done = false;
    bool head_sent = false;
    bool answer_done = false;
    bool close = false;  // the connection ends with this exchange
    bool declined = false;
    bool upgraded = false;
    bool discarding = false;  // answered; the rest of the body is thrown away
    uint64_t discarded = 0;
    std::string upgrade;
    std::string web_socket_key;
  };

  // Http1Connection
  bool Read(std::string_view& in) override;
  void Settle() override;
  void ReadEnd() override;
  void ConnectionClosed() override;
  void DeadlinePassed() override;
  StreamEvents* BodyEvents() override { return x_.open ? x_.events : nullptr; }

  void ReadHead(std::string_view& in);
  void ReadBody(std::string_view& in);
  void BeginExchange();
  void NextExchange();
  void RequestDone();
  void BadBody();
  void Refuse(uint16_t status, std::string_view detail);
  void SendError(uint16_t status);
  void Accept(const ResponseHead& head);
  void EndBody(const HeaderMap* trailers);
  void EndStream(StreamError error);
  bool MayAnswer() const { return x_.open && !x_.answer_done && !closing(); }

  ServerVisitor& visitor_;
  RequestReader reader_;
  Phase phase_ = Phase::kHead;
  Exchange x_;
  bool draining_ = false;
};

// ---- What comes in

bool Http1Server::Read(std::string_view& in) {
  if (phase_ == Phase::kWait) return false;
  phase_ == Phase::kHead ? ReadHead(in) : ReadBody(in);
  return true;
}

void Http1Server::ReadHead(std::string_view& in) {
  const bool started = reader_.Started();
  switch (reader_.Read(in)) {
    case HeadReader::Result::kMore:
      if (!started) deadline_.Set(limits_.head_timeout);
      break;
    case HeadReader::Result::kError:
      Refuse(reader_.error().status, reader_.error().detail);
      break;
    case HeadReader::Result::kDone:
      BeginExchange();
      break;
  }
}

void Http1Server::BeginExchange() {
  deadline_.Clear();
  const BodyFraming framing = reader_.Framing();
  RequestHead head = reader_.TakeHead();
  x_ = Exchange();
  x_.open = true;
  x_.to_head = head.method == "HEAD";
  x_.old = head.version == Version::kHttp10;
  x_.expects_continue = reader_.connection().expect_continue;
  x_.close = !reader_.Persistent();
  x_.upgrade = head.upgrade;
  if (x_.upgrade == "websocket") {
    x_.web_socket_key = head.headers.Find("sec-websocket-key").value_or("");
  }
  const bool end = framing.kind == BodyFraming::Kind::kNone && x_.upgrade.empty();
  x_.request_done = end;
  body_in_.Start(framing, limits_.trailer_bytes);
  phase_ = end || !x_.upgrade.empty() ? Phase::kWait : Phase::kBody;
  reader_.Clear();
  StreamEvents* const events = visitor_.OnRequest(*this, std::move(head), end);
  if (x_.open) x_.events = events;
}

void Http1Server::ReadBody(std::string_view& in) {
  const BodyReader::Event event = body_in_.Next(in);
  switch (event) {
    case BodyReader::Event::kMore:
      return;
    case BodyReader::Event::kError:
      return BadBody();
    case BodyReader::Event::kData:
      x_.body_seen = true;
      if (!x_.open) x_.discarded += body_in_.data().size();
      Deliver(body_in_.data());
      if (body_in_.Done()) RequestDone();
      break;
    case BodyReader::Event::kEnd:
      RequestDone();
      break;
    case BodyReader::Event::kTrailers:
      x_.request_done = true;
      phase_ = Phase::kWait;
      if (StreamEvents* events = BodyEvents()) events->OnTrailers(body_in_.TakeTrailers());
  }
}

void Http1Server::RequestDone() {
  x_.request_done = true;
  phase_ = Phase::kWait;
  if (StreamEvents* events = BodyEvents()) events->OnEnd();
}

// What follows cannot be told apart from the body.
void Http1Server::BadBody() {
  const bool answered = x_.head_sent;
  const bool complete = x_.answer_done;
  if (!answered) SendError(400);
  EndStream(StreamError::kProtocol);
  answered && !complete ? Break() : Linger();
}

void Http1Server::Refuse(uint16_t status, std::string_view detail) {
  SendError(status);
  Linger();
  visitor_.OnBadRequest(status, detail);
}

void Http1Server::SendError(uint16_t status) {
  AppendResponse(ResponseHead(), status, ResponseForm{.framing = {}, .length = 0}, "close",
                 scratch_);
  scratch_.append("\r\n");
  Send();
}

void Http1Server::ReadEnd() {
  if (phase_ == Phase::kWait) return;
  if (phase_ == Phase::kHead) return Linger();
  if (body_in_.EndsWithConnection()) return RequestDone();
  EndStream(StreamError::kReset);
  x_.answer_done ? Linger() : Break();
}

void Http1Server::DeadlinePassed() {
  if (reader_.Started()) return Refuse(408, "header fields took too long");
  Linger();
}

// ---- Exchanges begin and end

void Http1Server::Settle() {
  if (x_.error != StreamError::kNone) return EndStream(x_.error);
  if (!x_.answer_done || (x_.upgraded && !x_.request_done)) return;
  EndStream(StreamError::kNone);
  if (closing()) return;
  const bool close = x_.close || draining_;
  if (x_.request_done) return close ? Linger() : NextExchange();
  if (close || x_.discarded + body_in_.Left() > kDiscardBytes) return Linger();
  if (!std::exchange(x_.discarding, true)) deadline_.Set(limits_.head_timeout);
}

void Http1Server::NextExchange() {
  x_ = Exchange();
  phase_ = Phase::kHead;
  deadline_.Set(limits_.idle_timeout);
}

void Http1Server::EndStream(StreamError error) {
  if (!std::exchange(x_.open, false)) return;
  PayAll();
  StreamEvents* const events = std::exchange(x_.events, nullptr);
  if (events == nullptr) return;
  if (x_.declined && error == StreamError::kNone) events->OnEnd();
  events->OnClosed(error);
}

void Http1Server::ConnectionClosed() {
  EndStream(StreamError::kReset);
  visitor_.OnConnectionClosed();
}

void Http1Server::Drain() {
  draining_ = true;
  if (phase_ == Phase::kHead && !reader_.Started() && !closing()) {
    deadline_.Set(limits_.drain_idle_timeout);
  }
}

// ---- What goes out

void Http1Server::SendInterim(const ResponseHead& head) {
  if (!MayAnswer() || x_.head_sent || x_.old) return;
  if (head.status == 100) x_.expects_continue = false;
  if (!AppendResponse(head, head.status, ResponseForm{}, "", scratch_)) {
    scratch_.clear();
    return Reset(StreamError::kLocal);
  }
  scratch_.append("\r\n");
  Send();
}

void Http1Server::SendHead(const ResponseHead& head, bool end) {
  if (!MayAnswer() || std::exchange(x_.head_sent, true)) return;
  if (!x_.upgrade.empty()) {
    const bool accepted =
        head.status == 101 || (head.status == 200 && head.version == Version::kHttp2);
    if (accepted) return Accept(head);
    x_.declined = x_.request_done = true;
  }
  const std::optional<ResponseForm> form = FormOf(head, end, x_.to_head, x_.old);
  const bool until_close = form && form->framing.kind == BodyFraming::Kind::kUntilClose;
  const bool doubtful = x_.expects_continue && !x_.body_seen && !x_.request_done;
  x_.close = x_.close || draining_ || until_close || doubtful;
  const std::string_view connection = x_.close ? "close" : x_.old ? "keep-alive" : "";
  if (!form || head.status < 200 ||
      !AppendResponse(head, head.status, *form, connection, scratch_)) {
    scratch_.clear();
    return Reset(StreamError::kLocal);
  }
  scratch_.append("\r\n");
  Send();
  body_out_.Start(form->framing);
  if (!end) return;
  x_.answer_done = true;
  Defer();
}

void Http1Server::Accept(const ResponseHead& head) {
  x_.upgraded = x_.close = true;
  if (!AppendResponse(head, 101, ResponseForm{}, "upgrade", scratch_)) {
    scratch_.clear();
    return Reset(StreamError::kLocal);
  }
  scratch_.append("upgrade: ").append(x_.upgrade).append("\r\n");
  if (!x_.web_socket_key.empty() && !head.headers.Has("sec-websocket-accept")) {
    scratch_.append("sec-websocket-accept: ")
        .append(WebSocketAccept(x_.web_socket_key))
        .append("\r\n");
  }
  scratch_.append("\r\n");
  Send();
  const BodyFraming raw{BodyFraming::Kind::kUntilClose};
  body_out_.Start(raw);
  body_in_.Start(raw, 0);
  phase_ = Phase::kBody;
  Defer();  // for what has come already
}

void Http1Server::Write(std::span<const std::byte> bytes) {
  if (!MayAnswer() || !x_.head_sent) return;
  if (!body_out_.Write(*transport_, bytes)) Reset(StreamError::kLocal);
}

void Http1Server::EndBody(const HeaderMap* trailers) {
  if (!MayAnswer() || !x_.head_sent) return;
  if (!body_out_.End(*transport_, trailers)) return Reset(StreamError::kLocal);
  x_.answer_done = true;
  if (x_.upgraded) EndOutput();
  Defer();
}

void Http1Server::Reset(StreamError) {
  if (!x_.open || (x_.answer_done && !x_.upgraded)) return;
  x_.error = StreamError::kLocal;
  Break();
  Defer();
}

void Http1Server::Detach() {
  Reset(StreamError::kLocal);
  x_.open = false;
  x_.events = nullptr;
  PayAll();
}

}  // namespace

std::unique_ptr<ServerConnection> MakeHttp1Server(base::EventLoop& loop,
                                                  std::unique_ptr<transport::Transport> transport,
                                                  ServerVisitor& visitor, Limits limits) {
  return std::make_unique<Http1Server>(loop, std::move(transport), visitor, limits);
}

}  // namespace mesh::http
