#include "ztunnel/waypoint/http/http1_head.h"

#include <algorithm>
#include <utility>

#include "ztunnel/waypoint/http/chars.h"

namespace mesh::http {
namespace {

// "HTTP/1.1" or "HTTP/1.0"; of other versions 505, of anything else 400.
HeadError ParseVersion(std::string_view text, Version& version) {
  const auto digit = [](char c) { return c >= '0' && c <= '9'; };
  if (text == "HTTP/1.1") {
    version = Version::kHttp11;
  } else if (text == "HTTP/1.0") {
    version = Version::kHttp10;
  } else if (text.size() == 8 && text.starts_with("HTTP/") && digit(text[5]) && text[6] == '.' &&
             digit(text[7])) {
    return {505, "HTTP version"};
  } else {
    return {400, "malformed HTTP version"};
  }
  return {};
}

// Visible ASCII, and no fragment.
bool IsTarget(std::string_view text) {
  bool bad = text.empty();
  for (const char c : text) {
    const auto byte = static_cast<int8_t>(c);  // below 0 beyond ASCII
    bad |= byte <= 0x20 || byte == 0x7f || byte == '#';
  }
  return !bad;
}

BodyFraming FramingOf(const ConnectionFields& connection) {
  using Kind = BodyFraming::Kind;
  if (connection.chunked) return {Kind::kChunked};
  const uint64_t length = connection.content_length.value_or(0);
  return {length > 0 ? Kind::kLength : Kind::kNone, length};
}

}  // namespace

// ---- What requests and responses share

HeadReader::Result HeadReader::Read(std::string_view& in) {
  while (!complete_ && !error_) {
    if (in.empty()) return Result::kMore;
    started_ = true;
    const size_t limit = has_start_line_ ? limits_.head_bytes - field_bytes_ : limits_.line_bytes;
    switch (lines_.Next(in, limit)) {
      case LineReader::Result::kMore:
        return Result::kMore;
      case LineReader::Result::kTooLong:
        error_ = TooLong();
        break;
      case LineReader::Result::kBareLf:
        error_ = {400, "line without CRLF"};
        break;
      case LineReader::Result::kLine:
        if (has_start_line_) field_bytes_ += lines_.line().size() + 2;
        error_ = Line(lines_.line());
        break;
    }
  }
  return error_ ? Result::kError : Result::kDone;
}

HeadError HeadReader::Line(std::string_view line) {
  if (!has_start_line_) {
    if (line.empty()) {
      // One is let pass: clients of old end a body with it (RFC 9112, 2.2).
      if (!MayBeginWithEmptyLine() || skipped_line_) return {400, "empty line before a head"};
      skipped_line_ = true;
      return {};
    }
    has_start_line_ = true;
    fields_.headers.Reserve(expected_fields_, expected_bytes_);
    return StartLine(line);
  }
  if (!line.empty()) {
    if (++field_lines_ > limits_.head_fields) return {431, "too many header fields"};
    return fields_.Add(line);
  }
  complete_ = true;
  // The next head on this connection is probably like this one.
  expected_fields_ = fields_.headers.size() + 2;
  expected_bytes_ = field_bytes_;
  const HeadError error = fields_.Finish();
  return error ? error : Fields();
}

HeadError HeadReader::TooLong() const {
  return has_start_line_ ? HeadError{431, "header fields too large"}
                         : HeadError{414, "request line too long"};
}

bool HeadReader::Persistent() const {
  const ConnectionFields& said = fields_.connection;
  return !said.close && (version_ == Version::kHttp11 || said.keep_alive);
}

void HeadReader::Clear() {
  lines_.Clear();
  fields_.Clear();
  error_ = HeadError();
  started_ = has_start_line_ = skipped_line_ = complete_ = false;
  field_bytes_ = field_lines_ = 0;
}

// ---- Requests

HeadError RequestReader::StartLine(std::string_view line) {
  head_ = RequestHead();
  const size_t method_end = line.find(' ');
  if (method_end == std::string_view::npos) return {400, "malformed request line"};
  const std::string_view method = line.substr(0, method_end);
  line.remove_prefix(method_end + 1);
  const size_t target_end = line.find(' ');
  if (target_end == std::string_view::npos) return {400, "malformed request line"};
  const std::string_view target = line.substr(0, target_end);

  if (!IsFieldName(method)) return {400, "malformed method"};
  if (const HeadError error = ParseVersion(line.substr(target_end + 1), version_)) return error;
  head_.method = method;
  head_.version = version_;
  head_.scheme = "http";
  return Target(target);
}

HeadError RequestReader::Target(std::string_view target) {
  if (!IsTarget(target)) return {400, "malformed request target"};
  if (head_.method == "CONNECT") return {501, "CONNECT"};
  if (target.front() == '/') {
    head_.path = target;
    return {};
  }
  if (target == "*") {
    if (head_.method != "OPTIONS") return {400, "target * of a method that is not OPTIONS"};
    head_.path = target;
    return {};
  }
  return AbsoluteTarget(target);
}

HeadError RequestReader::AbsoluteTarget(std::string_view target) {
  constexpr std::string_view kScheme = "http://";
  if (!EqualsIgnoreCase(target.substr(0, kScheme.size()), kScheme)) {
    return {400, "malformed request target"};
  }
  target.remove_prefix(kScheme.size());
  const size_t end = std::min(target.find_first_of("/?"), target.size());
  head_.authority = target.substr(0, end);
  if (!IsAuthority(head_.authority)) return {400, "malformed authority in the target"};
  target.remove_prefix(end);
  if (target.empty()) {
    head_.path = head_.method == "OPTIONS" ? "*" : "/";
  } else if (target.front() == '?') {
    head_.path.append("/").append(target);
  } else {
    head_.path = target;
  }
  return {};
}

HeadError RequestReader::Fields() {
  ConnectionFields& said = fields_.connection;
  const bool old = version_ == Version::kHttp10;
  if (said.hosts == 0 && !old) return {400, "no Host"};
  // RFC 9110, 4.2.1: http has no empty host. HTTP/1.0 may leave it open.
  const bool nameless = said.host.empty() && old;
  if (said.hosts > 0 && !nameless && !IsAuthority(said.host)) return {400, "malformed Host"};
  if (old && said.chunked) return {400, "Transfer-Encoding of HTTP/1.0"};
  if (old) said.expect_continue = false;
  // RFC 9112, 3.2.2: the target's authority wins.
  if (head_.authority.empty()) head_.authority = std::move(said.host);
  if (said.upgrade && !old && FramingOf(said).kind == BodyFraming::Kind::kNone) {
    head_.upgrade = std::move(said.upgrade_to);
  }
  return {};
}

RequestHead RequestReader::TakeHead() {
  head_.headers = std::move(fields_.headers);
  return std::move(head_);
}

BodyFraming RequestReader::Framing() const { return FramingOf(fields_.connection); }

// ---- Responses

HeadError ResponseReader::StartLine(std::string_view line) {
  head_ = ResponseHead();
  constexpr size_t kVersion = 8;  // "HTTP/1.1"
  if (const HeadError error = ParseVersion(line.substr(0, kVersion), version_)) return error;
  line.remove_prefix(kVersion);
  // The space before an empty reason is often left out.
  if (line.size() < 4 || line[0] != ' ' || (line.size() > 4 && line[4] != ' ')) {
    return {502, "malformed status line"};
  }
  const std::optional<uint64_t> status = ParseContentLength(line.substr(1, 3));
  if (!status || *status < 100) return {502, "malformed status"};
  if (!IsFieldValue(Trim(line.substr(4)))) return {502, "malformed reason phrase"};
  head_.status = static_cast<uint16_t>(*status);
  head_.version = version_;
  return {};
}

HeadError ResponseReader::Fields() {
  if (version_ == Version::kHttp10 && fields_.connection.chunked) {
    return {502, "Transfer-Encoding of HTTP/1.0"};
  }
  // A Host in a response means nothing; it went as in requests.
  return {};
}

ResponseHead ResponseReader::TakeHead() {
  head_.headers = std::move(fields_.headers);
  return std::move(head_);
}

BodyFraming ResponseReader::Framing(bool to_head) const {
  const uint16_t status = head_.status;
  if (to_head || status < 200 || status == 204 || status == 304) return {};
  const ConnectionFields& said = fields_.connection;
  if (!said.chunked && !said.content_length) return {BodyFraming::Kind::kUntilClose};
  return FramingOf(said);
}

}  // namespace mesh::http
