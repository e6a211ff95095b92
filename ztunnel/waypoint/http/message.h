// Heads of HTTP messages, the same for HTTP/1 and HTTP/2.
//
// A codec takes out what is its own connection's business (Connection, Keep-Alive,
// Transfer-Encoding, Upgrade, Proxy-Connection, TE but for "trailers"; Host becomes `authority`)
// and puts in what its version needs. Content-Length stays, checked against the body.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "ztunnel/waypoint/http/header_map.h"

namespace mesh::http {

enum class Version : uint8_t { kHttp10, kHttp11, kHttp2 };

struct RequestHead {
  std::string method;
  std::string scheme;     // http or https
  std::string authority;  // Host; may be empty in HTTP/1.0
  std::string path;       // origin form with query, or "*"; of CONNECT: empty
  // "websocket" or another token: an HTTP/1.1 upgrade or an extended CONNECT (RFC 8441). The answer
  // 101 (HTTP/1.1) or 200 (HTTP/2) makes the body a two-way stream of bytes.
  std::string upgrade;
  Version version = Version::kHttp11;
  HeaderMap headers;
};

struct ResponseHead {
  uint16_t status = 200;
  Version version = Version::kHttp11;
  HeaderMap headers;
};

// Whether `text` names a host and perhaps a port, and nothing else: no user, no escapes, no list.
// Letters, digits, -._~ or an IPv6 address in brackets; a port from 0 to 65535.
bool IsAuthority(std::string_view text);

// The phrase that goes with a status; empty when it has none.
std::string_view ReasonPhrase(uint16_t status);

// Whether the message is gRPC by its content type.
bool IsGrpc(const HeaderMap& headers);

}  // namespace mesh::http
