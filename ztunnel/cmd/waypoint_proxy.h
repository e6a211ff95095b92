// The waypoint as a whole: what it is made of and how it begins and ends.
//
// One main thread (discovery, certificates, outlier sweeps, admin) and W workers. Run() returns
// when the process should end: after a drain that SIGTERM, SIGINT or /quitquitquit began, or at a
// second signal. Settings are those of ztunnel (cmd/settings.h) as far as they mean something here,
// and GATEWAY_NAME: the Gateway that this waypoint belongs to, in POD_NAMESPACE.
#pragma once

#include <absl/status/status.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "ztunnel/admin/http_server.h"
#include "ztunnel/admin/probe_server.h"
#include "ztunnel/admin/readiness.h"
#include "ztunnel/base/async/event_loop.h"
#include "ztunnel/cmd/process.h"
#include "ztunnel/cmd/settings.h"
#include "ztunnel/core/identity/certificate_manager.h"
#include "ztunnel/core/net/host_resolver.h"
#include "ztunnel/core/telemetry/access_log.h"
#include "ztunnel/core/telemetry/registry.h"
#include "ztunnel/core/xds/xds_client.h"
#include "ztunnel/waypoint/config/config_store.h"
#include "ztunnel/waypoint/proxy/worker.h"

namespace mesh::cmd {

class WaypointProxy {
 public:
  // InvalidArgument names the variable that is missing.
  static absl::Status Check(const Settings& settings, const Environment& environment);

  // Checked. `registry` and `log` outlive it.
  WaypointProxy(Settings settings, const Environment& environment,
                telemetry::MetricsRegistry& registry, telemetry::AccessLog& log);
  ~WaypointProxy();

  absl::Status Run();

 private:
  struct WorkerThread;

  void StartDiscovery(const Environment& environment);
  absl::Status StartServers();
  void Publish();
  void SweepOutliers();
  void BeginDrain(std::string_view why);

  const Settings settings_;
  telemetry::MetricsRegistry& registry_;
  waypoint::Options options_;
  base::EventLoop main_;
  TerminationSignals signals_;  // before any thread
  std::unique_ptr<identity::CertificateAuthority> authority_;
  identity::CertificateManager certificates_;
  net::HostResolver hosts_{{}};
  std::vector<std::unique_ptr<WorkerThread>> workers_;
  state::StateStore store_;
  state::MeshStateRef mesh_;
  waypoint::ConfigStore configs_;
  waypoint::ConfigRef config_;
  std::unique_ptr<xds::XdsClient> xds_;
  std::shared_ptr<void> metrics_;
  admin::Readiness readiness_;
  std::atomic<bool> draining_{false};
  size_t workers_draining_ = 0;
  // Last: no handler outlives the rest.
  std::vector<std::unique_ptr<admin::HttpServer>> servers_;
  std::unique_ptr<admin::ProbeServer> probes_;
};

}  // namespace mesh::cmd
