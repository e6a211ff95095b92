// HTTP/2 at the side that is asked (RFC 9113), over any transport.
//
// - Room() counts what the stream holds un-sent, so a client with a small window slows down only
//   its own stream.
// - Trailers both ways; interim answers; a request without END_STREAM but with an answer is ended
//   by RST_STREAM(NO_ERROR) once the answer is complete, unless the upstream still wants it.
// - Extended CONNECT (RFC 8441) gives `upgrade`; other CONNECT requests are refused with 405.
// - Messages that RFC 9113, 8.1 calls malformed reset their stream; what a peer floods us with ends
//   the connection (core/h2).
#pragma once

#include <memory>

#include "ztunnel/base/async/event_loop.h"
#include "ztunnel/waypoint/http/stream.h"
#include "ztunnel/waypoint/transport/transport.h"

namespace mesh::http {

// Starts the transport. `visitor` outlives the connection.
std::unique_ptr<ServerConnection> MakeHttp2Server(base::EventLoop& loop,
                                                  std::unique_ptr<transport::Transport> transport,
                                                  ServerVisitor& visitor, Limits limits);

}  // namespace mesh::http
