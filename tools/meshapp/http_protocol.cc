#include "tools/meshapp/http_protocol.h"

#include "tools/meshapp/h2_protocol.h"
#include "ztunnel/base/status.h"

namespace mesh::meshapp {
namespace {

constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const std::string& Filler() {
  static const std::string filler(64 << 10, 'x');
  return filler;
}

}  // namespace

size_t Http1Protocol::OnData(std::string_view in) {
  if (first_) {
    const size_t known = std::min(in.size(), kPreface.size());
    if (in.substr(0, known) == kPreface.substr(0, known)) {
      if (known == kPreface.size()) {
        connection_.ReplaceProtocol(std::make_unique<H2Protocol>(connection_, service_));
      }
      return 0;
    }
    first_ = false;
  }
  size_t used = 0;
  stepping_ = true;
  while (used < in.size() && !busy_) {
    const size_t step = Step(in.substr(used));
    if (step == 0) break;
    used += step;
  }
  stepping_ = false;
  return used;
}

size_t Http1Protocol::Step(std::string_view in) {
  if (!body_) return StartRequest(in);
  const absl::StatusOr<size_t> used = body_->Feed(in, nullptr);
  if (!used.ok()) {
    Refuse(400, MessageOf(used.status()));
    return 0;
  }
  if (body_->done()) Dispatch();
  return *used;
}

size_t Http1Protocol::StartRequest(std::string_view in) {
  const absl::StatusOr<std::optional<size_t>> length = ParseRequestHead(in, head_);
  if (!length.ok()) {
    Refuse(400, MessageOf(length.status()));
    return 0;
  }
  if (!*length) return 0;
  absl::StatusOr<Http1Body> body = Http1Body::OfRequest(head_);
  if (!body.ok()) {
    Refuse(400, MessageOf(body.status()));
    return 0;
  }
  body_ = *std::move(body);
  keep_alive_ = head_.KeepAlive() && !draining_;
  if (!body_->done()) {
    if (HasToken(head_.headers, "expect", "100-continue"))
      connection_.Write("HTTP/1.1 100 Continue\r\n\r\n");
  } else if (!TryUpgrade()) {
    Dispatch();
  }
  return **length;
}

bool Http1Protocol::TryUpgrade() {
  const std::string_view settings = Find(head_.headers, "http2-settings");
  if (settings.empty() || !HasToken(head_.headers, "upgrade", "h2c")) return false;
  Request request;
  request.method = head_.method;
  request.SetTarget(head_.target);
  request.authority = Find(head_.headers, "host");
  request.headers = head_.headers;
  auto h2 = H2Protocol::Upgrade(connection_, service_, settings, std::move(request));
  if (h2 == nullptr) return false;  // settings that cannot be read: answered as HTTP/1.1
  busy_ = true;                     // this object is done
  H2Protocol& upgraded = *h2;
  connection_.Write(
      "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: h2c\r\n\r\n");
  connection_.ReplaceProtocol(std::move(h2));
  upgraded.OnOpen();
  return true;
}

void Http1Protocol::Dispatch() {
  Request request;
  request.protocol = head_.minor == 0 ? "HTTP/1.0" : "HTTP/1.1";
  request.method = head_.method;
  request.SetTarget(head_.target);
  request.authority = Find(head_.headers, "host");
  request.headers = head_.headers;
  request.from = connection_.peer().ToString();
  request.body_bytes = body_->received_bytes();
  body_.reset();
  busy_ = true;
  service_.Handle(std::move(request), [this, alive = connection_.alive()](Response response) {
    if (!alive.expired()) Answer(std::move(response));
  });
}

void Http1Protocol::Answer(Response response) {
  if (response.reset) return connection_.Abort();
  if (draining_) keep_alive_ = false;
  const bool chunked = response.chunks > 0 && head_.minor >= 1 && response.filler_bytes == 0;
  const uint64_t length = response.filler_bytes > 0 ? response.filler_bytes : response.body.size();
  std::string text =
      fmt::format("HTTP/1.1 {} {}\r\nserver: meshapp\r\ncontent-type: {}\r\n", response.status,
                  ReasonPhrase(response.status), response.content_type);
  const bool bodiless = response.status == 204 || response.status == 304;
  if (chunked)
    text += "transfer-encoding: chunked\r\n";
  else if (!bodiless)
    text += fmt::format("content-length: {}\r\n", length);
  if (!keep_alive_)
    text += "connection: close\r\n";
  else if (head_.minor == 0)
    text += "connection: keep-alive\r\n";
  text += "\r\n";
  if (head_.method == "HEAD" || bodiless) {
    connection_.Write(text);
    return Finished();
  }
  if (chunked) {
    connection_.Write(text);
    return SendPieces(std::make_shared<Response>(std::move(response)), 0);
  }
  connection_.Write(text + response.body);
  filler_left_ = response.filler_bytes;
  if (filler_left_ == 0) return Finished();
  OnDrained();
}

void Http1Protocol::SendPieces(std::shared_ptr<Response> response, unsigned next) {
  const size_t size = response->body.size(), count = response->chunks;
  while (next < count) {
    const size_t from = size * next / count, to = size * (next + 1) / count;
    ++next;
    if (to > from) {
      connection_.Write(fmt::format("{:x}\r\n{}\r\n", to - from,
                                    std::string_view(response->body).substr(from, to - from)));
    }
    if (next < count && response->gap.count() > 0) {
      connection_.loop().After(response->gap, [this, response, next, alive = connection_.alive()] {
        if (!alive.expired()) SendPieces(response, next);
      });
      return;
    }
  }
  connection_.Write("0\r\n\r\n");
  Finished();
}

void Http1Protocol::OnDrained() {
  if (filler_left_ == 0) return;
  size_t wanted = Connection::kLowMark;
  while (filler_left_ > 0 && wanted > 0) {
    const size_t n = std::min<uint64_t>({filler_left_, Filler().size(), wanted});
    connection_.Write(std::string_view(Filler()).substr(0, n));
    filler_left_ -= n;
    wanted -= n;
  }
  if (filler_left_ == 0) Finished();
}

void Http1Protocol::Finished() {
  busy_ = false;
  if (!keep_alive_) {
    busy_ = true;
    return connection_.FinishWriting();
  }
  if (stepping_) return;  // OnData goes on by itself
  connection_.Resume();   // pipelined requests
  if (connection_.peer_ended() && !busy_) connection_.FinishWriting();
}

void Http1Protocol::Refuse(int status, std::string_view why) {
  busy_ = true;
  connection_.Write(fmt::format(
      "HTTP/1.1 {} {}\r\nserver: meshapp\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{}\n",
      status, ReasonPhrase(status), why.size() + 1, why));
  connection_.FinishWriting();
}

void Http1Protocol::OnPeerEnd() {
  if (!busy_) connection_.FinishWriting();
}

void Http1Protocol::Drain() {
  draining_ = true;
  if (!busy_ && !body_) connection_.FinishWriting();
}

}  // namespace mesh::meshapp
