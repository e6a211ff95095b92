// The node proxy as a whole: what it is made of and how it begins and ends.
//
// One main thread (discovery, pods, dumps) and W workers. Run() returns when the process should
// end: after a drain that SIGTERM, SIGINT or /quitquitquit began, or at a second signal.
#pragma once

#include <absl/status/status.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ztunnel/admin/config_dump.h"
#include "ztunnel/admin/http_server.h"
#include "ztunnel/admin/probe_server.h"
#include "ztunnel/admin/readiness.h"
#include "ztunnel/base/async/event_loop.h"
#include "ztunnel/cmd/process.h"
#include "ztunnel/cmd/revocation_file.h"
#include "ztunnel/cmd/settings.h"
#include "ztunnel/cmd/worker_thread.h"
#include "ztunnel/core/identity/certificate_manager.h"
#include "ztunnel/core/net/host_resolver.h"
#include "ztunnel/core/state/mesh_state.h"
#include "ztunnel/core/telemetry/access_log.h"
#include "ztunnel/core/telemetry/registry.h"
#include "ztunnel/core/xds/xds_client.h"
#include "ztunnel/dns/metrics.h"
#include "ztunnel/pods/pod_manager.h"
#include "ztunnel/pods/worker_host.h"
#include "ztunnel/pods/zds_client.h"

namespace mesh::cmd {

class Proxy {
 public:
  // `registry` and `log` outlive it.
  Proxy(Settings settings, const Environment& environment, telemetry::MetricsRegistry& registry,
        telemetry::AccessLog& log);
  ~Proxy();

  absl::Status Run();

 private:
  void PrepareDiscovery(const Environment& environment);
  absl::Status LoadLocalState();
  void StartDiscovery();
  void Publish(state::MeshStateRef mesh);
  absl::Status StartServers();
  void StartMetrics();
  // HBONE to the metrics port, for scrapers that are in the mesh, with this pod's own identity.
  void ServeOwnPod();
  void KeepHouse();  // every few minutes
  absl::Status StartRevocation();
  void Revoke(const identity::RevocationListsRef& lists);
  void WatchRevocation();

  void BeginDrain(std::string_view why);
  void OnWorkerDrained();

  // From a server's thread: gathers on the main loop and the workers, waits for a while.
  std::optional<std::string> DumpConfig();
  void Gather(std::function<void(admin::DumpSnapshot)> done);

  const Settings settings_;
  telemetry::MetricsRegistry& registry_;
  base::EventLoop main_;
  TerminationSignals signals_;  // before any thread
  std::unique_ptr<identity::CertificateAuthority> authority_;
  identity::CertificateManager certificates_;
  std::optional<RevocationFile> revocation_;
  net::HostResolver hosts_{{}};
  dns::Metrics dns_metrics_{registry_};
  std::vector<std::unique_ptr<WorkerThread>> workers_;
  std::unique_ptr<pods::WorkerHost> host_;
  std::unique_ptr<pods::PodManager> pods_;
  std::unique_ptr<pods::ZdsClient> zds_;
  state::StateStore store_;
  state::MeshStateRef mesh_;  // as published to the workers
  std::unique_ptr<xds::XdsClient> xds_;

  admin::Readiness readiness_;
  std::vector<std::shared_ptr<void>> metrics_;
  FreeMemory free_memory_;
  std::atomic<bool> draining_{false};
  size_t workers_draining_ = 0;
  // Last, so that no handler runs while the rest is taken down.
  std::vector<std::unique_ptr<admin::HttpServer>> servers_;
  std::unique_ptr<admin::ProbeServer> probes_;
};

}  // namespace mesh::cmd
