#include "ztunnel/cmd/proxy.h"

#include <signal.h>

#include <future>

#include "ztunnel/admin/endpoints.h"
#include "ztunnel/base/files.h"
#include "ztunnel/base/log.h"
#include "ztunnel/base/status.h"
#include "ztunnel/base/string_map.h"
#include "ztunnel/cmd/config_json.h"
#include "ztunnel/cmd/process_metrics.h"
#include "ztunnel/core/identity/ca_client.h"
#include "ztunnel/core/identity/local_authority.h"
#include "ztunnel/core/net/socket.h"
#include "ztunnel/core/telemetry/registry.h"
#include "ztunnel/core/tls/aead.h"
#include "ztunnel/core/xds/local_state.h"
#include "ztunnel/core/xds/node_metadata.h"

namespace mesh::cmd {
namespace {

constexpr size_t kMaxLocalState = 4 << 20;
constexpr absl::Duration kDumpTimeout = absl::Seconds(5);
constexpr absl::Duration kHouseInterval = absl::Minutes(5);

const std::shared_ptr<spdlog::logger>& Log() {
  static const auto log = Logger("app");
  return log;
}

std::unique_ptr<identity::CertificateAuthority> MakeAuthority(const Settings& settings) {
  if (settings.fake_ca) {
    Log()->warn("FAKE_CA: certificates are made here; no other proxy trusts them");
    return std::make_unique<identity::LocalAuthority>();
  }
  identity::GrpcCertificateAuthority::Options options;
  options.plane = settings.ca;
  return std::make_unique<identity::GrpcCertificateAuthority>(std::move(options));
}

identity::CertificateManager::Options CertificateOptions(const Settings& settings) {
  identity::CertificateManager::Options options;
  options.lifetime = settings.secret_ttl;
  options.key_exchange = settings.key_exchange;
  return options;
}

}  // namespace

Proxy::Proxy(Settings settings, const Environment& environment,
             telemetry::MetricsRegistry& registry, telemetry::AccessLog& log)
    : settings_(std::move(settings)),
      registry_(registry),
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
  std::vector<pods::WorkerRef> refs;
  for (int i = 0; i < settings_.worker_threads; ++i) {
    workers_.push_back(std::make_unique<WorkerThread>(i, settings_, certificates_, registry_, log,
                                                      settings_.dns ? &dns_metrics_ : nullptr));
    workers_.back()->tunnel().SetHostResolver(hosts_);
    refs.push_back(workers_.back()->ref());
  }
  if (!settings_.crl_path.empty()) revocation_.emplace(settings_.crl_path);
  host_ = std::make_unique<pods::WorkerHost>(main_, std::move(refs), certificates_);
  pods_ =
      std::make_unique<pods::PodManager>(main_, *host_, registry_, settings_.tunnel.trust_domain);
  zds_ = std::make_unique<pods::ZdsClient>(main_, settings_.zds_socket, *pods_);
  PrepareDiscovery(environment);
  StartMetrics();
}

Proxy::~Proxy() {
  servers_.clear();
  probes_.reset();
  metrics_.clear();
  certificates_.Stop();  // its threads post to the loops of workers
  hosts_.Stop();         // as these do
  workers_.clear();      // their loops end; nothing is posted to the main loop any more
}

absl::Status Proxy::LoadLocalState() {
  const std::string& path = settings_.local_xds_path;
  std::string text = settings_.local_xds;
  if (!path.empty()) {
    ASSIGN_OR_RETURN(text, WithContext(ReadFile(path, kMaxLocalState), "LOCAL_XDS_PATH"));
  }
  return WithContext(xds::LoadLocalState(text, settings_.tunnel.cluster_id, store_),
                     path.empty() ? "LOCAL_XDS" : "LOCAL_XDS_PATH: " + path);
}

void Proxy::StartDiscovery() {
  if (xds_ != nullptr) {
    xds_->Start();
  } else {
    Publish(store_.Publish());  // nothing else will ever be known
  }
}

void Proxy::PrepareDiscovery(const Environment& environment) {
  if (settings_.xds.address.empty()) return;
  xds::XdsClient::Options options;
  options.node = xds::MakeNode(NodeInfoOf(settings_, environment));
  options.copy_path = settings_.state_cache_path;
  options.on_demand = settings_.xds_on_demand;
  xds_ =
      std::make_unique<xds::XdsClient>(main_, store_, xds::MakeGrpcTransport(main_, settings_.xds),
                                       std::move(options), [this](state::MeshStateRef mesh) {
                                         // Workloads without their policies would be served as if
                                         // there were none.
                                         if (xds_->ready()) Publish(std::move(mesh));
                                       });
  if (!settings_.xds_on_demand) return;
  for (const auto& worker : workers_) {
    worker->SetDemand([this](std::string name, base::EventLoop& loop, auto done) {
      xds_->DemandAddress(std::move(name), loop, std::move(done));
    });
  }
}

void Proxy::Publish(state::MeshStateRef mesh) {
  mesh_ = std::move(mesh);
  for (const auto& worker : workers_) worker->SetState(mesh_);
}

absl::Status Proxy::StartServers() {
  admin::AdminSources sources;
  sources.config_dump = [this] { return DumpConfig(); };
  sources.quit = [this] { main_.Post([this] { BeginDrain("quitquitquit"); }); };
  sources.initial_log_levels = LogLevels();
  const admin::HttpHandler admin_handler = admin::AdminHandler(std::move(sources));
  const bool ipv6 = settings_.tunnel.ipv6;
  struct Listener {
    const char* v4;
    const char* v6;    // tried too, or (instead of `v4`) first
    bool both_in_one;  // one socket of `v6` takes both families
    uint16_t port;
    admin::HttpHandler handler;
  };
  const Listener listeners[] = {
      {"127.0.0.1", "::1", false, settings_.admin_port, admin_handler},
      {"0.0.0.0", "::", true, settings_.stats_port, admin::StatsHandler(registry_)},
  };
  const net::ListenOptions anywhere{
      .port = settings_.readiness_port, .ipv6 = ipv6, .reuse_port = false};
  ASSIGN_OR_RETURN(probes_,
                   admin::ProbeServer::Start(main_, anywhere, admin::ReadinessHandler(readiness_)));
  for (const Listener& listener : listeners) {
    absl::Status v6 = Unavailable("IPv6 is off");
    if (ipv6) {
      auto server = admin::HttpServer::Start(listener.v6, listener.port, listener.handler);
      v6 = server.status();
      if (server.ok()) servers_.push_back(*std::move(server));
    }
    if (v6.ok() && listener.both_in_one) continue;
    auto server = admin::HttpServer::Start(listener.v4, listener.port, listener.handler);
    RETURN_IF_ERROR(server.status());
    servers_.push_back(*std::move(server));
  }
  return absl::OkStatus();
}

void Proxy::StartMetrics() {
  registry_.SetSeriesLimit(settings_.metrics_series_limit);
  metrics_.push_back(registry_.Add([this](telemetry::MetricsWriter& writer) {
    WriteProcessMetrics(writer, settings_.version_tag);
    WriteHostMetrics(writer, hosts_.counters());
    WriteCertificateMetrics(writer, certificates_.Dump());
    if (xds_ != nullptr) WriteXdsMetrics(writer, xds_->counters());
    std::vector<const identity::PeerVerifier::Counters*> peers;
    uint64_t handshakes = 0;
    for (const auto& worker : workers_) {
      peers.push_back(&worker->tunnel().peer_counters());
      handshakes += worker->tunnel().handshakes();
    }
    WritePeerMetrics(writer, peers, handshakes);
    if (revocation_) WriteRevocationMetrics(writer, revocation_->counters(), peers);
  }));
  readiness_.Add("state manager", [this] { return xds_ == nullptr || xds_->ready(); });
  readiness_.Add("workload proxy manager", [this] { return pods_->Ready(); });
  readiness_.Add("drain", [this] { return !draining_; });
}

void Proxy::ServeOwnPod() {
  const bool known = !settings_.pod_name.empty() && !settings_.pod_namespace.empty() &&
                     !settings_.service_account.empty();
  if (!known || settings_.stats_port == 0) return;
  auto pod = std::make_shared<tunnel::Pod>();
  pod->uid = "ztunnel";  // those of others are UUIDs
  pod->name = settings_.pod_name;
  pod->ns = settings_.pod_namespace;
  pod->service_account = settings_.service_account;
  pod->trust_domain = settings_.tunnel.trust_domain;
  pod->only_port = settings_.stats_port;
  host_->Start(std::move(pod), [port = settings_.tunnel.hbone_port](const absl::Status& status) {
    // Whoever has that port here is not our business; the pods do not need it.
    if (!status.ok()) Log()->warn("no HBONE to ourselves port={} err={}", port, Describe(status));
  });
}

void Proxy::KeepHouse() {
  main_.After(kHouseInterval, [this] {
    if (mesh_ != nullptr) {
      StringSet alive;
      for (const auto& workload : mesh_->Workloads()) {
        alive.insert(workload->ns + "/" + workload->workload_name);
      }
      registry_.ExpireSeries([&](std::string_view ns, std::string_view workload) {
        return alive.contains(fmt::format("{}/{}", ns, workload));
      });
    }
    free_memory_.MaybeGiveBack();
    KeepHouse();
  });
}

absl::Status Proxy::StartRevocation() {
  if (!revocation_) return absl::OkStatus();
  ASSIGN_OR_RETURN(const identity::RevocationListsRef lists, revocation_->Load());
  Revoke(lists);
  WatchRevocation();
  return absl::OkStatus();
}

void Proxy::Revoke(const identity::RevocationListsRef& lists) {
  for (const auto& worker : workers_) worker->SetRevocations(lists);
}

void Proxy::WatchRevocation() {
  main_.After(RevocationFile::kInterval, [this] {
    if (const identity::RevocationListsRef lists = revocation_->Changed()) Revoke(lists);
    WatchRevocation();
  });
}

absl::Status Proxy::Run() {
  RETURN_IF_ERROR(WithContext(StartRevocation(), "CRL_PATH"));
  RETURN_IF_ERROR(LoadLocalState());
  RETURN_IF_ERROR(
      WithContext(net::CheckCongestionControl(settings_.tunnel.tunnel_congestion_control),
                  "MESH_TUNNEL_CONGESTION_CONTROL"));
  RETURN_IF_ERROR(WithContext(StartServers(), "admin ports"));
  for (const auto& worker : workers_) worker->Start();
  StartDiscovery();
  zds_->Start();
  ServeOwnPod();
  KeepHouse();
  Log()->info("ztunnel started version={} workers={} node={} xds={} aes_gcm={}", MESH_VERSION,
              workers_.size(), settings_.node_name, settings_.xds.address, tls::AesGcmProvider());
  main_.Run();
  Log()->info("ztunnel ended");
  return absl::OkStatus();
}

void Proxy::BeginDrain(std::string_view why) {
  if (draining_.exchange(true)) return;
  Log()->info("draining cause={} deadline={}", why,
              absl::FormatDuration(settings_.termination_deadline));
  zds_->TakeNoMore();
  pods_->Drain();
  workers_draining_ = workers_.size();
  for (const auto& worker : workers_) {
    worker->Drain(settings_.termination_deadline,
                  [this] { main_.Post([this] { OnWorkerDrained(); }); });
  }
  // Whatever a worker is busy with, the promise to end is kept.
  main_.After(settings_.termination_deadline + absl::Seconds(2), [this] {
    Log()->warn("workers did not end in time");
    main_.Stop();
  });
}

void Proxy::OnWorkerDrained() {
  if (--workers_draining_ == 0) main_.Stop();
}

void Proxy::Gather(std::function<void(admin::DumpSnapshot)> done) {
  struct Gathering {
    admin::DumpSnapshot snapshot;
    size_t missing = 0;
    std::function<void(admin::DumpSnapshot)> done;
  };
  auto gathering = std::make_shared<Gathering>();
  gathering->snapshot.mesh = mesh_;
  gathering->snapshot.certificates = certificates_.Dump();
  gathering->snapshot.pods = pods_->Pods();
  gathering->missing = workers_.size();
  gathering->done = std::move(done);
  for (const auto& worker : workers_) {
    worker->loop().Post([this, gathering, &tunnel = worker->tunnel()] {
      auto connections = tunnel.ActiveConnections();
      main_.Post([gathering, connections = std::move(connections)] {
        auto& all = gathering->snapshot.connections;
        all.insert(all.end(), connections.begin(), connections.end());
        if (--gathering->missing == 0) gathering->done(std::move(gathering->snapshot));
      });
    });
  }
}

std::optional<std::string> Proxy::DumpConfig() {
  auto gathered = std::make_shared<std::promise<admin::DumpSnapshot>>();
  auto future = gathered->get_future();
  main_.Post([this, gathered] {
    Gather([gathered](admin::DumpSnapshot snapshot) { gathered->set_value(std::move(snapshot)); });
  });
  if (future.wait_for(absl::ToChronoMilliseconds(kDumpTimeout)) != std::future_status::ready) {
    return std::nullopt;
  }
  return admin::ConfigDump(future.get(), settings_.version_tag,
                           [this](admin::JsonWriter& json) { WriteConfig(json, settings_); });
}

}  // namespace mesh::cmd
