// HTTP/1.1 at the side that asks; answers of HTTP/1.0 are understood.
//
// One request at a time; Capacity is 1 when the connection is idle and may be used again.
//
// - Sent() is false until the end of the loop's turn in which the request was written: a connection
//   that turns out to be closed within that turn has sent nothing.
// - The stream ends with the answer. When the request's body has not been sent in full by then,
//   what is missing is not sent and the connection closes.
// - An answer that ends too early, or with the connection before a byte of it came, is kReset; one
//   that breaks the protocol or a limit is kProtocol. Bytes that nobody asked for close the
//   connection.
// - A request with `upgrade` is written as an HTTP/1.1 upgrade, also when it came as an extended
//   CONNECT (RFC 8441); Sec-WebSocket-Key is made where it is missing, and then its answer checked
//   and taken out. After OnHead(101) the two bodies are the rest of the connection. Another answer
//   declines: what was or is written as the request's body is not sent.
// - A request without Content-Length is sent in chunks, unless `end`.
//
// Destroying the connection ends a stream with OnClosed(kLocal); the visitor hears nothing more.
#pragma once

#include <memory>

#include "ztunnel/base/async/event_loop.h"
#include "ztunnel/waypoint/http/stream.h"
#include "ztunnel/waypoint/transport/transport.h"

namespace mesh::http {

// Starts the transport. `visitor` outlives the connection.
std::unique_ptr<ClientConnection> MakeHttp1Client(base::EventLoop& loop,
                                                  std::unique_ptr<transport::Transport> transport,
                                                  ClientConnectionVisitor& visitor, Limits limits);

}  // namespace mesh::http
