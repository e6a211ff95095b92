// HTTP/2 at the side that asks (RFC 9113), with prior knowledge, over any transport.
//
// Capacity is what the peer's SETTINGS_MAX_CONCURRENT_STREAMS leaves (100 until it has said), 0
// after GOAWAY. A stream above the peer's last one ends with kRefused. An `upgrade` goes as an
// extended CONNECT; a peer that does not offer it gets none, and the stream ends with kProtocol.
#pragma once

#include <memory>

#include "ztunnel/base/async/event_loop.h"
#include "ztunnel/waypoint/http/stream.h"
#include "ztunnel/waypoint/transport/transport.h"

namespace mesh::http {

// Starts the transport. `visitor` outlives the connection.
std::unique_ptr<ClientConnection> MakeHttp2Client(base::EventLoop& loop,
                                                  std::unique_ptr<transport::Transport> transport,
                                                  ClientConnectionVisitor& visitor, Limits limits);

}  // namespace mesh::http
