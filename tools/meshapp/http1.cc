#include "tools/meshapp/http1.h"

#include <charconv>

#include "tools/meshapp/text.h"
#include "ztunnel/base/status.h"

namespace mesh::meshapp {
namespace {

constexpr size_t kMaxChunkLine = 1024;

std::string_view Trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

absl::StatusOr<uint64_t> Hex(std::string_view text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) {
    return Invalid("chunk size \"{}\" is no hexadecimal number", text);
  }
  return value;
}

// Name and value of each line of `block`, which ends with the last line's CRLF.
absl::Status ParseHeaders(std::string_view block, Headers& out) {
  while (!block.empty()) {
    const size_t end = block.find("\r\n");
    const std::string_view line = block.substr(0, end);
    block.remove_prefix(end + 2);
    const size_t colon = line.find(':');
    if (colon == 0 || colon == std::string_view::npos || line.find_first_of(" \t") < colon) {
      return Invalid("malformed header line of {} bytes", line.size());
    }
    if (line.find_first_of(std::string_view("\r\n\0", 3)) != std::string_view::npos) {
      return Invalid("control byte in header {}", line.substr(0, colon));
    }
    out.emplace_back(Lower(line.substr(0, colon)), std::string(Trimmed(line.substr(colon + 1))));
  }
  return absl::OkStatus();
}

// The first line and the header block of a complete head, and its length.
struct Parts {
  std::string_view first_line;
  std::string_view headers;
  size_t length;
};
absl::StatusOr<std::optional<Parts>> FindHead(std::string_view in) {
  const size_t end = in.substr(0, kMaxHead + 4).find("\r\n\r\n");
  if (end == std::string_view::npos) {
    if (in.size() > kMaxHead) return Invalid("head is longer than {} bytes", kMaxHead);
    return std::optional<Parts>();
  }
  const size_t line = in.find("\r\n");
  return Parts{in.substr(0, line), in.substr(line + 2, end - line), end + 4};
}

bool ParseVersion(std::string_view text, int& minor) {
  if (text.size() != 8 || !text.starts_with("HTTP/1.") || text[7] < '0' || text[7] > '9')
    return false;
  minor = text[7] - '0';
  return true;
}

}  // namespace

std::string_view Find(const Headers& headers, std::string_view name) {
  for (const auto& [key, value] : headers) {
    if (key == name) return value;
  }
  return {};
}

bool HasToken(const Headers& headers, std::string_view name, std::string_view token) {
  for (const auto& [key, value] : headers) {
    if (key != name) continue;
    for (const std::string& part : Split(value, ',')) {
      if (Lower(Trimmed(part)) == token) return true;
    }
  }
  return false;
}

bool Http1Head::KeepAlive() const {
  if (HasToken(headers, "connection", "close")) return false;
  return minor >= 1 || HasToken(headers, "connection", "keep-alive");
}

absl::StatusOr<std::optional<size_t>> ParseRequestHead(std::string_view in, Http1Head& out) {
  ASSIGN_OR_RETURN(const std::optional<Parts> parts, FindHead(in));
  if (!parts) return std::optional<size_t>();
  const std::string_view line = parts->first_line;
  const size_t one = line.find(' '), two = line.rfind(' ');
  out = {};
  if (one == std::string_view::npos || one == 0 || two <= one + 1 ||
      !ParseVersion(line.substr(two + 1), out.minor)) {
    return Invalid("malformed request line of {} bytes", line.size());
  }
  out.method = line.substr(0, one);
  out.target = line.substr(one + 1, two - one - 1);
  if (out.target.find(' ') != std::string::npos) return Invalid("space in the request target");
  RETURN_IF_ERROR(ParseHeaders(parts->headers, out.headers));
  return parts->length;
}

absl::StatusOr<std::optional<size_t>> ParseResponseHead(std::string_view in, Http1Head& out) {
  ASSIGN_OR_RETURN(const std::optional<Parts> parts, FindHead(in));
  if (!parts) return std::optional<size_t>();
  const std::string_view line = parts->first_line;
  out = {};
  const auto status = ParseNumber(line.size() >= 12 ? line.substr(9, 3) : std::string_view());
  if (!status || *status < 100 || line[8] != ' ' || !ParseVersion(line.substr(0, 8), out.minor)) {
    return Invalid("malformed status line of {} bytes", line.size());
  }
  out.status = static_cast<int>(*status);
  RETURN_IF_ERROR(ParseHeaders(parts->headers, out.headers));
  return parts->length;
}

absl::StatusOr<Http1Body> Http1Body::OfRequest(const Http1Head& head) {
  return Framed(head, State::kDone);
}

absl::StatusOr<Http1Body> Http1Body::OfResponse(const Http1Head& head, bool to_head_request) {
  if (to_head_request || head.status < 200 || head.status == 204 || head.status == 304) {
    return Http1Body();
  }
  return Framed(head, State::kUntilClose);
}

absl::StatusOr<Http1Body> Http1Body::Framed(const Http1Head& head, State without_framing) {
  Http1Body body;
  body.state_ = without_framing;
  std::optional<std::string_view> length;
  bool chunked = false;
  for (const auto& [name, value] : head.headers) {
    if (name == "content-length") {
      if (length && *length != value) return Invalid("two different Content-Length headers");
      length = value;
    } else if (name == "transfer-encoding") {
      if (Lower(value) != "chunked" || chunked)
        return Invalid("Transfer-Encoding \"{}\" is unknown", value);
      chunked = true;
    }
  }
  if (chunked && length) return Invalid("both Content-Length and Transfer-Encoding");
  if (chunked) body.state_ = State::kChunkSize;
  if (length) {
    const auto bytes = ParseNumber(*length);
    if (!bytes) return Invalid("Content-Length \"{}\" is no number", *length);
    body.left_ = *bytes;
    body.state_ = *bytes == 0 ? State::kDone : State::kLength;
  }
  return body;
}

absl::StatusOr<size_t> Http1Body::Feed(std::string_view in, std::string* keep) {
  size_t used = 0;
  while (used < in.size() && state_ != State::kDone) {
    const std::string_view rest = in.substr(used);
    if (state_ == State::kLength || state_ == State::kChunkData || state_ == State::kUntilClose) {
      const size_t n =
          state_ == State::kUntilClose ? rest.size() : std::min<uint64_t>(rest.size(), left_);
      if (keep) keep->append(rest.substr(0, n));
      received_ += n;
      used += n;
      if (state_ == State::kUntilClose) continue;
      left_ -= n;
      if (left_ == 0) state_ = state_ == State::kLength ? State::kDone : State::kChunkEnd;
      continue;
    }
    const size_t end = rest.find("\r\n");
    if (end == std::string_view::npos) {
      if (rest.size() > kMaxChunkLine)
        return Invalid("chunk line is longer than {} bytes", kMaxChunkLine);
      break;
    }
    ASSIGN_OR_RETURN(const size_t line, FeedLine(rest.substr(0, end)));
    used += line;
  }
  return used;
}

absl::StatusOr<size_t> Http1Body::FeedLine(std::string_view line) {
  switch (state_) {
    case State::kChunkSize: {
      ASSIGN_OR_RETURN(left_, Hex(Trimmed(line.substr(0, line.find(';')))));
      state_ = left_ == 0 ? State::kTrailer : State::kChunkData;
      break;
    }
    case State::kChunkEnd:
      if (!line.empty()) return Invalid("chunk is longer than its size");
      state_ = State::kChunkSize;
      break;
    default:  // kTrailer: fields are read over up to the empty line
      if (line.empty()) state_ = State::kDone;
      break;
  }
  return line.size() + 2;
}

std::string_view ReasonPhrase(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 201:
      return "Created";
    case 204:
      return "No Content";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 429:
      return "Too Many Requests";
    case 500:
      return "Internal Server Error";
    case 502:
      return "Bad Gateway";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    default:
      return "Status";
  }
}

}  // namespace mesh::meshapp
