#include "tools/meshapp/program.h"

#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <memory>
#include <thread>
#include <vector>

#include "tools/meshapp/http_protocol.h"
#include "ztunnel/base/log.h"
#include "ztunnel/base/status.h"

namespace mesh::meshapp {
namespace {

struct Worker {
  std::unique_ptr<Loop> loop;
  std::unique_ptr<Service> service;
  std::unique_ptr<Server> server;
  std::thread thread;
};

// Blocked before any thread starts, so that only the waiting below sees them.
sigset_t BlockSignals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  signal(SIGPIPE, SIG_IGN);
  return set;
}

absl::Status RunWorkers(std::vector<Worker>& workers, const ServerOptions& options,
                        const sigset_t& signals) {
  for (Worker& worker : workers) {
    worker.thread = std::thread([loop = worker.loop.get()] { loop->Run(); });
  }
  Logger("meshapp")->info("listening port={} threads={}", workers[0].server->port(),
                          workers.size());
  int received = 0;
  sigwait(&signals, &received);
  Logger("meshapp")->info("ending signal={}", received);
  for (Worker& worker : workers) {
    worker.loop->Post([&worker, grace = options.grace] {
      worker.server->Drain([&worker] { worker.loop->Stop(); });
      worker.loop->After(grace, [&worker] { worker.loop->Stop(); });
    });
  }
  for (Worker& worker : workers) worker.thread.join();
  return absl::OkStatus();
}

}  // namespace

void RaiseFileLimit() {
  rlimit limit = {};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

absl::Status RunHttp(const App& app, const ServerOptions& options) {
  const sigset_t signals = BlockSignals();
  RaiseFileLimit();
  Upstreams upstreams(16);
  std::vector<Worker> workers(options.threads);
  uint16_t port = options.port;
  for (Worker& worker : workers) {
    ASSIGN_OR_RETURN(worker.loop, Loop::Open());
    worker.service = std::make_unique<Service>(*worker.loop, app, upstreams, options.service);
    ASSIGN_OR_RETURN(worker.server,
                     Server::Listen(*worker.loop, port,
                                    [service = worker.service.get()](Connection& connection) {
                                      return std::make_unique<Http1Protocol>(connection, *service);
                                    }));
    port = worker.server->port();
  }
  RETURN_IF_ERROR(RunWorkers(workers, options, signals));
  // An upstream call that still hangs would hold the destructors up beyond the grace.
  ::_exit(0);
}

absl::Status RunTcp(const Server::Factory& factory, const ServerOptions& options) {
  const sigset_t signals = BlockSignals();
  RaiseFileLimit();
  std::vector<Worker> workers(options.threads);
  uint16_t port = options.port;
  for (Worker& worker : workers) {
    ASSIGN_OR_RETURN(worker.loop, Loop::Open());
    ASSIGN_OR_RETURN(worker.server, Server::Listen(*worker.loop, port, factory));
    port = worker.server->port();
  }
  return RunWorkers(workers, options, signals);
}

void RunSleep() {
  const sigset_t signals = BlockSignals();
  int received = 0;
  sigwait(&signals, &received);
}

}  // namespace mesh::meshapp
