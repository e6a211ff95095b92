// HTTP/1.0 and HTTP/1.1 at the side that is asked.
//
// One request at a time: what comes behind it waits, read but not Consumed, until the answer is
// complete. What an HTTP/1 message may not say clearly is refused: docs/adr/0011 has the table.
//
// - A request's stream ends when its answer does. When the request's body has not come in full by
//   then, OnClosed(kNone) comes without OnEnd; up to 64 KiB of the rest are read and thrown away so
//   that the connection can be used again, else it closes.
// - Room() is the transport's. Reset breaks the connection off.
// - Expect: 100-continue stays in the head. An answer that comes before SendInterim(100) and before
//   any byte of the body closes the connection, since nobody can know what the client sends next.
// - Upgrade: the request comes with `upgrade` and not `end`. SendHead(101), or the 200 of an
//   upstream that speaks HTTP/2, makes the rest of the connection the two bodies, each with its own
//   end. Any other answer declines: OnEnd comes with the answer's end. The codec writes Connection
//   and Upgrade, and Sec-WebSocket-Accept where it is missing.
// - An answer without Content-Length is sent in chunks, to HTTP/1.0 until the connection closes.
//   An answer whose body does not keep to its Content-Length breaks the connection off.
//
// Destroying the connection ends a stream with OnClosed(kLocal); the visitor hears nothing more.
#pragma once

#include <memory>

#include "ztunnel/base/async/event_loop.h"
#include "ztunnel/waypoint/http/stream.h"
#include "ztunnel/waypoint/transport/transport.h"

namespace mesh::http {

// Starts the transport. `visitor` outlives the connection.
std::unique_ptr<ServerConnection> MakeHttp1Server(base::EventLoop& loop,
                                                  std::unique_ptr<transport::Transport> transport,
                                                  ServerVisitor& visitor, Limits limits);

}  // namespace mesh::http
