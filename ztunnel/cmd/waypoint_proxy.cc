#include "ztunnel/cmd/waypoint_proxy.h"

#include <signal.h>

#include "ztunnel/admin/endpoints.h"
#include "ztunnel/base/log.h"
#include "ztunnel/base/status.h"
#include "ztunnel/cmd/process_metrics.h"
#include "ztunnel/core/identity/ca_client.h"
#include "ztunnel/core/telemetry/registry.h"
#include "ztunnel/core/xds/node_metadata.h"
#include "ztunnel/waypoint/lb/outlier.h"

namespace mesh::cmd {
namespace {

constexpr absl::Duration kSweepInterval = absl::Seconds(1);

const std::shared_ptr<spdlog::logger>& Log() {
  static const auto log = Logger("app");
  return log;
}

std::unique_ptr<identity::CertificateAuthority> MakeAuthority(const Settings& settings) {
  identity::GrpcCertificateAuthority::Options options;
  options.plane = settings.ca;
  return std::make_unique<identity::GrpcCertificateAuthority>(std::move(options));
}

identity::CertificateManager::Options CertificateOptions(const Settings& settings) {
  identity::CertificateManager::Options options;
  options.lifetime = settings.secret_ttl;
  return options;
}

waypoint::Options OptionsOf(const Settings& settings, const Environment& environment) {
  waypoint::Options options;
  options.self = {settings.tunnel.trust_domain, settings.pod_namespace, settings.service_account};
  options.where = {settings.tunnel.network, settings.pod_namespace, environment.at("GATEWAY_NAME")};
  options.cluster_id = settings.tunnel.cluster_id;
  options.hbone_port = settings.tunnel.hbone_port;
  options.ipv6 = settings.tunnel.ipv6;
  return options;
}

}  // namespace

struct WaypointProxy::WorkerThread {
  WorkerThread(const waypoint::Options& options, identity::CertificateManager& certificates,
               net::HostResolver& hosts, telemetry::MetricsRegistry& registry,
               telemetry::AccessLog& log)
      : metrics(registry, log), worker(loop, options, certificates, metrics, hosts) {}
  ~WorkerThread() {
    loop.Stop();
    if (thread.joinable()) thread.join();
  }
  base::EventLoop loop;
  telemetry::WorkerMetrics metrics;
  waypoint::Worker worker;
  std::thread thread;
};

absl::Status WaypointProxy::Check(const Settings& settings, const Environment& environment) {
  const auto name = environment.find("GATEWAY_NAME");
  if (name == environment.end() || name->second.empty()) return Invalid("GATEWAY_NAME is not set");
  if (settings.pod_namespace.empty()) return Invalid("POD_NAMESPACE is not set");
  if (settings.service_account.empty()) return Invalid("SERVICE_ACCOUNT is not set");
  return absl::OkStatus();
}

WaypointProxy::WaypointProxy(Settings settings, const Environment& environment,
                             telemetry::MetricsRegistry& registry, telemetry::AccessLog& log)
    : settings_(std::move(settings)),
      registry_(registry),
      options_(OptionsOf(settings_, environment)),
      signals_(main_,
               [this](int signal) {
                 if (draining_) {
                   Log()->warn("second signal, ending now");
                   main_.Stop();
                 } else {
                   BeginDrain(signal == SIGINT ? "SIGINT" : "SIGTERM");
                 }
               }),
      authority_(MakeAuthority(settings_)),
      certificates_(*authority_, CertificateOptions(settings_)) {
  for (int i = 0; i < settings_.worker_threads; ++i) {
    workers_.push_back(
        std::make_unique<WorkerThread>(options_, certificates_, hosts_, registry_, log));
  }
  StartDiscovery(environment);
  std::vector<const waypoint::RequestMetrics*> requests;
  for (const auto& thread : workers_) requests.push_back(&thread->worker.core().requests);
  metrics_ = registry_.Add([this, requests](telemetry::MetricsWriter& writer) {
    WriteProcessMetrics(writer, settings_.version_tag);
    WriteCertificateMetrics(writer, certificates_.Dump());
    WriteXdsMetrics(writer, xds_->counters());
    waypoint::RequestMetrics::Write(requests, writer);
  });
  readiness_.Add("configuration", [this] { return xds_->ready(); });
  readiness_.Add("drain", [this] { return !draining_; });
}

WaypointProxy::~WaypointProxy() {
  servers_.clear();
  probes_.reset();
  metrics_.reset();
  certificates_.Stop();  // its threads post to the loops of workers
  hosts_.Stop();         // as these do
  workers_.clear();      // their loops end; nothing is posted to the main loop any more
}

void WaypointProxy::StartDiscovery(const Environment& environment) {
  xds::NodeInfo info = NodeInfoOf(settings_, environment);
  info.kind = "waypoint";
  xds::XdsClient::Options options;
  options.node = xds::MakeNode(info);
  options.copy_path = settings_.state_cache_path;
  for (const std::string_view type : waypoint::L7Types()) options.more_types.emplace_back(type);
  options.more_sink = &configs_;
  xds_ =
      std::make_unique<xds::XdsClient>(main_, store_, xds::MakeGrpcTransport(main_, settings_.xds),
                                       std::move(options), [this](state::MeshStateRef mesh) {
                                         mesh_ = std::move(mesh);
                                         // Services without their policies would be served as if
                                         // there were none.
                                         if (xds_->ready()) Publish();
                                       });
}

void WaypointProxy::Publish() {
  config_ = configs_.Publish(mesh_, absl::Now());
  for (const auto& thread : workers_) {
    thread->loop.Post([worker = &thread->worker, config = config_] { worker->SetConfig(config); });
  }
}

absl::Status WaypointProxy::StartServers() {
  admin::AdminSources sources;
  sources.config_dump = [] { return std::nullopt; };
  sources.quit = [this] { main_.Post([this] { BeginDrain("quitquitquit"); }); };
  sources.initial_log_levels = LogLevels();
  struct Listener {
    const char* address;
    uint16_t port;
    admin::HttpHandler handler;
  };
  const Listener listeners[] = {
      {"127.0.0.1", settings_.admin_port, admin::AdminHandler(std::move(sources))},
      {"0.0.0.0", settings_.stats_port, admin::StatsHandler(registry_)},
  };
  const net::ListenOptions anywhere{
      .port = settings_.readiness_port, .ipv6 = settings_.tunnel.ipv6, .reuse_port = false};
  ASSIGN_OR_RETURN(probes_,
                   admin::ProbeServer::Start(main_, anywhere, admin::ReadinessHandler(readiness_)));
  for (const Listener& listener : listeners) {
    ASSIGN_OR_RETURN(auto server,
                     admin::HttpServer::Start(listener.address, listener.port, listener.handler));
    servers_.push_back(std::move(server));
  }
  return absl::OkStatus();
}

void WaypointProxy::SweepOutliers() {
  main_.After(kSweepInterval, [this] {
    if (config_ != nullptr) {
      for (const auto& [name, cluster] : config_->clusters) lb::SweepIfDue(*cluster, absl::Now());
    }
    SweepOutliers();
  });
}

absl::Status WaypointProxy::Run() {
  RETURN_IF_ERROR(WithContext(StartServers(), "admin ports"));
  certificates_.Retain(options_.self);
  for (const auto& thread : workers_) {
    RETURN_IF_ERROR(WithContext(thread->worker.Listen(), "listen for tunnels"));
  }
  for (const auto& thread : workers_) {
    thread->thread = std::thread([loop = &thread->loop] { loop->Run(); });
  }
  xds_->Start();
  SweepOutliers();
  Log()->info("waypoint started version={} workers={} gateway={}/{} xds={}", MESH_VERSION,
              workers_.size(), options_.where.ns, options_.where.service, settings_.xds.address);
  main_.Run();
  Log()->info("waypoint ended");
  return absl::OkStatus();
}

void WaypointProxy::BeginDrain(std::string_view why) {
  if (draining_.exchange(true)) return;
  Log()->info("draining cause={} deadline={}", why,
              absl::FormatDuration(settings_.termination_deadline));
  workers_draining_ = workers_.size();
  for (const auto& thread : workers_) {
    thread->loop.Post([this, worker = &thread->worker] {
      worker->Drain(settings_.termination_deadline, [this] {
        main_.Post([this] {
          if (--workers_draining_ == 0) main_.Stop();
        });
      });
    });
  }
  // Whatever a worker is busy with, the promise to end is kept.
  main_.After(settings_.termination_deadline + absl::Seconds(2), [this] {
    Log()->warn("workers did not end in time");
    main_.Stop();
  });
}

}  // namespace mesh::cmd
