// HTTP/1.1 messages (RFC 9112) as text: heads parsed from a view, bodies unframed as they come. No
// I/O.
//
// Strict where leniency is dangerous: a message with both Content-Length and Transfer-Encoding, a
// malformed length, a folded or nameless header is an error. A head may be kMaxHead bytes long.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mesh::meshapp {

using Headers = std::vector<std::pair<std::string, std::string>>;  // names in lower case

// The first value of `name`; empty when there is none.
std::string_view Find(const Headers& headers, std::string_view name);
bool HasToken(const Headers& headers, std::string_view name, std::string_view token);

struct Http1Head {
  std::string method;  // of a request
  std::string target;
  int status = 0;  // of a response
  int minor = 1;   // HTTP/1.<minor>
  Headers headers;
  bool KeepAlive() const;
};

inline constexpr size_t kMaxHead = 64 << 10;

// The length of the head, or nullopt while it is not complete.
absl::StatusOr<std::optional<size_t>> ParseRequestHead(std::string_view in, Http1Head& out);
absl::StatusOr<std::optional<size_t>> ParseResponseHead(std::string_view in, Http1Head& out);

// Unframes one body.
class Http1Body {
 public:
  Http1Body() = default;
  static absl::StatusOr<Http1Body> OfRequest(const Http1Head& head);
  static absl::StatusOr<Http1Body> OfResponse(const Http1Head& head, bool to_head_request);

  bool done() const { return state_ == State::kDone; }
  bool until_close() const { return state_ == State::kUntilClose; }
  // Takes bytes of the body and returns how many of `in` it used; content is appended to `keep`
  // when given. It uses less than all of `in` only when done, or for an incomplete chunk line.
  absl::StatusOr<size_t> Feed(std::string_view in, std::string* keep);
  uint64_t received_bytes() const { return received_; }

 private:
  enum class State { kDone, kLength, kUntilClose, kChunkSize, kChunkData, kChunkEnd, kTrailer };
  static absl::StatusOr<Http1Body> Framed(const Http1Head& head, State without_framing);
  absl::StatusOr<size_t> FeedLine(std::string_view line);

  State state_ = State::kDone;
  uint64_t left_ = 0;
  uint64_t received_ = 0;
};

std::string_view ReasonPhrase(int status);

}  // namespace mesh::meshapp
