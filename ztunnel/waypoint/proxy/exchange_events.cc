// What an Exchange hears: of the client and of the endpoint.
#include "ztunnel/waypoint/proxy/exchange.h"

#include "ztunnel/base/status.h"
#include "ztunnel/waypoint/http/local_reply.h"
#include "ztunnel/waypoint/lb/outlier.h"
#include "ztunnel/waypoint/proxy/exchange_words.h"
#include "ztunnel/waypoint/proxy/mirror.h"

namespace mesh::waypoint {

using http::StreamError;

// ---- The answer

void Exchange::SendLocal(uint16_t status, std::string_view body, std::string_view details,
                         std::optional<int> grpc_status) {
  http::LocalReply reply = http::MakeLocalReply(head_.headers, status, body, grpc_status);
  SendLocalHead(std::move(reply.head), reply.body, details);
}

void Exchange::SendLocalHead(http::ResponseHead head, std::string_view body,
                             std::string_view details) {
  if (answered_ || down_closed_) return;
  answered_ = true;
  details_ = details;
  if (route_ != nullptr) {
    if (route_->cors && cors_origin_allowed_) {
      route::AddCorsHeaders(*route_->cors, head_.headers.Find("origin").value_or(""), head.headers);
    }
    route::FinishResponse(*route_, nullptr, FactsNow(), head.headers);
  }
  status_ = head.status;
  grpc_status_ = head.headers.Find("grpc-status").value_or("");
  const bool end = body.empty() || head_.method == "HEAD";
  down_->SendHead(head, end);
  if (!end) {
    sent_ += body.size();
    down_->Write(std::as_bytes(std::span(body)));
    down_->End();
  }
  response_ = std::move(head);
  PayDown();
}

void Exchange::OnAttemptInterim(const http::ResponseHead& head) {
  if (!down_closed_ && !answered_) down_->SendInterim(head);
}

void Exchange::OnAttemptHead(http::ResponseHead head, bool end) {
  lb::ReportStatus(*cluster_, *host_, head.status, absl::Now());
  route::Outcome outcome;
  outcome.status = head.status;
  outcome.headers = &head.headers;
  outcome.headers_sent = true;
  if (retry_wanted_ || TakeRetry(outcome)) return;
  answered_ = true;
  if (head.status != 101) keeps_body_ = false;
  body_.Free();
  if (route_ != nullptr) {
    if (route_->cors && cors_origin_allowed_) {
      route::AddCorsHeaders(*route_->cors, head_.headers.Find("origin").value_or(""), head.headers);
    }
    route::FinishResponse(*route_, backend_, FactsNow(), head.headers);
  }
  status_ = head.status;
  details_ = "via_upstream";
  grpc_status_ = head.headers.Find("grpc-status").value_or("");
  if (!down_closed_) down_->SendHead(head, end);
  response_ = std::move(head);
  changed_.Set();
}

void Exchange::OnAttemptBody(std::span<const std::byte> bytes) {
  if (!answered_ || down_closed_) {  // of an answer that is thrown away
    if (http::ClientStream* stream = attempt_->stream()) stream->Consumed(bytes.size());
    return;
  }
  sent_ += bytes.size();
  owed_up_ += bytes.size();
  last_active_ = core_.loop.Now();
  down_->Write(bytes);
  PayUp();
}

void Exchange::OnAttemptTrailers(http::HeaderMap trailers) {
  if (!answered_ || down_closed_) return;
  if (const auto status = trailers.Find("grpc-status")) grpc_status_ = *status;
  down_->WriteTrailers(trailers);
}

void Exchange::OnAttemptEnd() {
  if (answered_ && !down_closed_) down_->End();
}

void Exchange::OnAttemptRoom() {
  last_active_ = core_.loop.Now();
  PayDown();
}

void Exchange::OnAttemptClosed(StreamError error) {
  changed_.Set();
  if (retry_wanted_ || down_closed_) return;
  if (!answered_) {
    FailedTry(error == StreamError::kNone ? StreamError::kReset : error, "", false);
    return;
  }
  if (error == StreamError::kNone) return;
  // In the middle of the answer: the client must not take it for the whole.
  const FailureWords words = WordsFor(error);
  flags_ |= words.flag;
  details_ = fmt::format("upstream_reset_after_response_started{{{}}}", words.reason);
  lb::ReportFailure(*cluster_, *host_, lb::LocalFailure::kReset, absl::Now());
  down_->Reset(error == StreamError::kProtocol ? StreamError::kProtocol : StreamError::kReset);
}

// ---- The client

void Exchange::OnBody(std::span<const std::byte> bytes) {
  received_ += bytes.size();
  owed_down_ += bytes.size();
  last_active_ = core_.loop.Now();
  http::ClientStream* stream = attempt_ != nullptr ? attempt_->stream() : nullptr;
  const bool streams = stream != nullptr && sending_;
  if (streams) stream->Write(bytes);
  if (!answered_ && (!streams || keeps_body_)) body_.Append(bytes);
  if (!mirrors_.empty()) {
    mirror_body_.Append(bytes);
    if (mirror_body_.size() > core_.options.retry_buffer_bytes) {
      core_.mirrors->CountDropped();
      mirrors_.clear();
      mirror_body_.Free();
    }
  }
  if (streams && keeps_body_ && body_.size() > core_.options.retry_buffer_bytes) {
    keeps_body_ = false;
    body_.Free();
  }
  PayDown();
}

void Exchange::OnTrailers(http::HeaderMap trailers) {
  trailers_ = std::move(trailers);
  request_ended_ = true;
  request_ended_at_ = core_.loop.Now();
  changed_.Set();
  MaybeMirror();
  if (sending_ && attempt_ != nullptr && attempt_->stream() != nullptr) {
    attempt_->stream()->WriteTrailers(*trailers_);
  }
}

void Exchange::OnEnd() {
  if (request_ended_) return;
  request_ended_ = true;
  request_ended_at_ = core_.loop.Now();
  changed_.Set();
  MaybeMirror();
  if (sending_ && attempt_ != nullptr && attempt_->stream() != nullptr) attempt_->stream()->End();
}

void Exchange::OnRoom() {
  last_active_ = core_.loop.Now();
  PayUp();
}

void Exchange::OnClosed(StreamError error) {
  down_closed_ = true;
  down_ = nullptr;
  down_error_ = error;
  changed_.Set();
}

// The client may send on while somebody takes it: the endpoint, the retry buffer, or nobody needs
// it.
void Exchange::PayDown() {
  if (owed_down_ == 0 || down_closed_) return;
  http::ClientStream* stream = attempt_ != nullptr && sending_ ? attempt_->stream() : nullptr;
  const bool room = stream != nullptr
                        ? stream->Room() > 0
                        : answered_ || body_.size() <= core_.options.retry_buffer_bytes;
  if (room) down_->Consumed(std::exchange(owed_down_, 0));
}

void Exchange::PayUp() {
  http::ClientStream* stream = attempt_ != nullptr ? attempt_->stream() : nullptr;
  if (owed_up_ == 0 || stream == nullptr) return;
  if (down_closed_ || down_->Room() > 0) stream->Consumed(std::exchange(owed_up_, 0));
}

}  // namespace mesh::waypoint
