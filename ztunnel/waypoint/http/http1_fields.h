// The header fields of an HTTP/1 head, strictly: what they say of the connection and of the body's
// length is taken out and kept apart from what they say to the other end.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "ztunnel/waypoint/http/header_map.h"

namespace mesh::http {

// Why a head is refused: the status to answer with, and a few words for the log.
struct HeadError {
  uint16_t status = 0;  // 0: nothing is wrong
  std::string_view detail;
  explicit operator bool() const { return status != 0; }
};

// Digits alone, at most 18.
std::optional<uint64_t> ParseContentLength(std::string_view text);

// Whether the name is of the connection, not of the message: never passed on, and never a trailer.
bool IsConnectionField(std::string_view name);

struct ConnectionFields {
  std::optional<uint64_t> content_length;
  bool chunked = false;
  bool close = false;
  bool keep_alive = false;
  bool upgrade = false;          // named by Connection
  bool expect_continue = false;  // Expect itself stays
  uint8_t hosts = 0;
  std::string host;
  std::string upgrade_to;  // the first protocol of Upgrade that is not h2c, lower case
};

class FieldParser {
 public:
  // `line` is without its CRLF and not empty.
  HeadError Add(std::string_view line);
  // After the last: drops what Connection named; TE keeps "trailers" alone.
  HeadError Finish();
  void Clear();

  HeaderMap headers;
  ConnectionFields connection;

 private:
  // Of the field added last. It is dropped when it is of the connection.
  HeadError Look();
  HeadError LookAtTransferEncoding(std::string_view value);
  HeadError LookAtContentLength(std::string_view value);
  HeadError LookAtConnection(std::string_view value);
  void LookAtUpgrade(std::string_view value);

  bool te_trailers_ = false;
  bool has_transfer_encoding_ = false;
  std::string named_;  // by Connection, each with a comma behind it
  bool drop_ = false;
};

// One trailer field into `trailers`; false when it is malformed or none that may come so late.
bool AddTrailer(std::string_view line, HeaderMap& trailers);

}  // namespace mesh::http
