// The server programs: threads with a loop each on one shared port, until SIGTERM or SIGINT, then a
// graceful end: no new connections, open requests are answered, at most `grace` long.
#pragma once

#include <absl/status/status.h>

#include <chrono>

#include "tools/meshapp/server.h"
#include "tools/meshapp/service.h"

namespace mesh::meshapp {

struct ServerOptions {
  uint16_t port = 8080;
  int threads = 1;
  std::chrono::milliseconds grace{5'000};
  Service::Options service;
};

absl::Status RunHttp(const App& app, const ServerOptions& options);
// `factory` is called on the loops' threads.
absl::Status RunTcp(const Server::Factory& factory, const ServerOptions& options);
// Waits for SIGTERM or SIGINT and does nothing else.
void RunSleep();
// To the hard limit: thousands of connections need as many descriptors.
void RaiseFileLimit();

}  // namespace mesh::meshapp
