#include "ztunnel/waypoint/http/http2_stream.h"

#include <cstring>

namespace mesh::http {
namespace {

constexpr size_t kKeep = 4 << 10;

bool OfConnection(std::string_view name, std::string_view value) {
  return name == "connection" || name == "keep-alive" || name == "proxy-connection" ||
         name == "transfer-encoding" || name == "upgrade" || name == "host" ||
         (name == "te" && value != "trailers");
}

uint32_t CodeOf(StreamError why) {
  switch (why) {
    case StreamError::kProtocol:
      return h2::kProtocolError;
    case StreamError::kRefused:
      return h2::kRefusedStream;
    case StreamError::kReset:
      return h2::kInternalError;
    default:
      return h2::kCancel;
  }
}

}  // namespace

void AppendFields(const HeaderMap& from, h2::Headers& to) {
  for (size_t i = 0; i < from.size(); ++i) {
    const HeaderView field = from[i];
    if (OfConnection(field.name, field.value)) continue;
    to.push_back({std::string(field.name), std::string(field.value)});
  }
}

HeaderMap FieldsOf(const h2::Headers& headers) {
  HeaderMap fields;
  std::string cookies;
  for (const h2::Header& header : headers) {
    if (header.name.starts_with(':') || OfConnection(header.name, header.value)) continue;
    if (header.name == "cookie") {  // RFC 9113, 8.2.3
      if (!cookies.empty()) cookies += "; ";
      cookies += header.value;
    } else {
      fields.Add(header.name, header.value);
    }
  }
  if (!cookies.empty()) fields.Add("cookie", cookies);
  return fields;
}

size_t Http2Body::Room() const {
  if (closed_ || end_wanted_) return 0;
  const size_t limit = link_.buffered_limit();
  return out_.size() >= limit ? 0 : limit - out_.size();
}

void Http2Body::Write(std::span<const std::byte> bytes) {
  if (closed_ || end_wanted_ || bytes.empty()) return;
  const bool idle = out_.empty();
  out_.Append(bytes);
  was_full_ = was_full_ || Room() == 0;
  if (!idle) return;
  link_.session().Resume(id_);
  link_.Touch();
}

void Http2Body::WriteTrailers(const HeaderMap& trailers) {
  if (closed_ || end_wanted_) return;
  AppendFields(trailers, trailers_.emplace());
  End();
}

void Http2Body::End() {
  if (closed_ || end_wanted_) return;
  end_wanted_ = true;
  link_.session().Resume(id_);
  link_.Touch();
}

void Http2Body::Consumed(size_t bytes) {
  if (closed_) return;
  link_.session().Consumed(id_, bytes);
  link_.Touch();
}

void Http2Body::Reset(StreamError why) {
  if (closed_ || reset_why_ != StreamError::kNone) return;
  reset_why_ = why;
  link_.session().Reset(id_, CodeOf(why));
  link_.Touch();
}

void Http2Body::TellRoom() {
  owes_room_ = false;
  if (events_ != nullptr && !closed_) events_->OnRoom();
}

void Http2Body::OnData(std::span<const std::byte> data) {
  if (events_ != nullptr) {
    events_->OnBody(data);
  } else {
    Consumed(data.size());
  }
}

void Http2Body::OnTrailers(const h2::Headers& trailers) {
  if (peer_ended_) return;
  peer_ended_ = true;
  if (events_ != nullptr) events_->OnTrailers(FieldsOf(trailers));
}

void Http2Body::OnEnd() {
  if (peer_ended_) return;
  peer_ended_ = true;
  if (events_ != nullptr) events_->OnEnd();
}

void Http2Body::OnClosed(uint32_t error_code) {
  closed_ = true;
  StreamError error = StreamError::kReset;
  if (error_code == h2::kNoError && Complete()) {
    error = StreamError::kNone;
  } else if (reset_why_ != StreamError::kNone) {
    error = StreamError::kLocal;
  } else if (error_code == h2::kRefusedStream) {
    error = StreamError::kRefused;
  } else if (error_code == h2::kProtocolError) {
    error = StreamError::kProtocol;
  }
  if (StreamEvents* events = std::exchange(events_, nullptr)) events->OnClosed(error);
}

h2::StreamHandler::Produced Http2Body::Produce(std::span<std::byte> out) {
  const size_t n = std::min(out.size(), out_.size());
  if (n > 0) {
    std::memcpy(out.data(), out_.data().data(), n);
    out_.Consume(n);
  }
  if (was_full_ && out_.size() < link_.buffered_limit() / 2) {
    was_full_ = false;
    owes_room_ = true;
    link_.Touch();
  }
  if (!out_.empty()) return {Produced::Kind::kData, n};
  if (out_.capacity() > kKeep) out_.Free();
  if (end_wanted_) {
    end_sent_ = true;
    return {Produced::Kind::kEnd, n, trailers_ ? &*trailers_ : nullptr};
  }
  return {n > 0 ? Produced::Kind::kData : Produced::Kind::kBlocked, n};
}

}  // namespace mesh::http
