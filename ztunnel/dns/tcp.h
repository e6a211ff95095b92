// The TCP side of a pod's name service: queries of one connection, one after the other, each
// preceded by its length (RFC 1035, 4.2.2).
#pragma once

#include "ztunnel/base/async/task.h"
#include "ztunnel/core/net/socket.h"
#include "ztunnel/dns/pod_server.h"

namespace mesh::dns {

// Serves until the client ends, is silent for the timeout, or sends what is no query.
base::Task<void> ServeTcp(PodServer& server, net::Socket client);

}  // namespace mesh::dns
