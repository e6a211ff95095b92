// The handshake of WebSocket in HTTP/1.1 (RFC 6455, 4.2.2), where the other side speaks HTTP/2 and
// has none (RFC 8441).
#pragma once

#include <string>
#include <string_view>

namespace mesh::http {

std::string MakeWebSocketKey();
// Sec-WebSocket-Accept to a Sec-WebSocket-Key.
std::string WebSocketAccept(std::string_view key);

}  // namespace mesh::http
