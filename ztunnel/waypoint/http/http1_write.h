// Heads of HTTP/1 messages into bytes.
//
// Fields of the connection that a head still holds, Content-Length and Host are left out: the codec
// says them itself, by the framing that it chose.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "ztunnel/waypoint/http/http1_head.h"
#include "ztunnel/waypoint/http/message.h"

namespace mesh::http {

inline std::span<const std::byte> AsBytes(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

// False when a name or value could not be read as what it is: the message must not leave.
bool AppendFields(const HeaderMap& fields, std::string& out);

// The Content-Length of a head that is to be written; nothing when absent, repeated or malformed.
std::optional<uint64_t> LengthOf(const HeaderMap& fields);

struct RequestForm {
  BodyFraming framing;
  bool zero_length = false;  // says Content-Length: 0
};
// Nothing when the head contradicts `end`.
std::optional<RequestForm> FormOf(const RequestHead& head, bool end);
bool AppendRequest(const RequestHead& head, const RequestForm& form, std::string& out);

struct ResponseForm {
  BodyFraming framing;
  std::optional<uint64_t> length;  // Content-Length to say, which HEAD's answer may without a body
};
std::optional<ResponseForm> FormOf(const ResponseHead& head, bool end, bool to_head,
                                   bool to_http10);
// `connection`: the value of Connection; empty: none. Ends before the empty line.
bool AppendResponse(const ResponseHead& head, uint16_t status, const ResponseForm& form,
                    std::string_view connection, std::string& out);

}  // namespace mesh::http
