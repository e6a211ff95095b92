#include "ztunnel/waypoint/proxy/tcp.h"

#include <absl/random/random.h>

#include "ztunnel/base/log.h"
#include "ztunnel/base/status.h"
#include "ztunnel/waypoint/lb/choose.h"
#include "ztunnel/waypoint/lb/outlier.h"
#include "ztunnel/waypoint/proxy/defaults.h"
#include "ztunnel/waypoint/proxy/open_transport.h"

namespace mesh::waypoint {
namespace {

// One direction's receiver: bytes of `from` go to `to`, slowed down by what `to` takes.
class Pipe final : public transport::Events {
 public:
  Pipe(base::Event& changed, transport::Transport& from) : changed_(changed), from_(from) {}
  void ConnectTo(transport::Transport& to, Pipe& back) {
    to_ = &to;
    back_ = &back;
  }

  void OnBytes(std::span<const std::byte> bytes) override {
    bytes_ += bytes.size();
    owed_ += bytes.size();
    to_->Write(bytes);
    Pay();
    changed_.Set();
  }
  void OnEnd() override { to_->End(); }
  void OnRoom() override { back_->Pay(); }  // of `from`: the other direction writes there
  void OnClosed(bool clean) override {
    closed_ = true;
    if (!clean) to_->Reset();
    changed_.Set();
  }

  bool closed() const { return closed_; }
  uint64_t bytes() const { return bytes_; }

 private:
  void Pay() {
    if (owed_ > 0 && !closed_ && to_->Room() > 0) from_.Consumed(std::exchange(owed_, 0));
  }

  base::Event& changed_;
  transport::Transport& from_;
  transport::Transport* to_ = nullptr;
  Pipe* back_ = nullptr;
  size_t owed_ = 0;
  uint64_t bytes_ = 0;
  bool closed_ = false;
};

base::Task<void> PassBytes(Core& core, transport::Transport& client, transport::Transport& server,
                           absl::Duration idle) {
  base::Event changed(core.loop);
  Pipe up(changed, client), down(changed, server);
  up.ConnectTo(server, down);
  down.ConnectTo(client, up);
  server.Start(down);
  client.Start(up);
  while (!up.closed() || !down.closed()) {
    changed.Clear();
    if (co_await changed.Wait(idle)) continue;
    client.Reset();
    server.Reset();
    idle = absl::InfiniteDuration();
  }
}

lb::ClusterRef ClusterFor(Core& core, const Scene& scene, const std::string& sni) {
  const Target& target = scene.target;
  if (target.frontend != nullptr && !target.frontend->routes->l4().empty()) {
    route::ConnectionView view;
    view.destination = target.asked.ip;
    view.sni = sni;
    if (scene.client.identity) view.source_namespace = scene.client.identity->ns;
    if (scene.client.peer != nullptr) view.source_labels = &scene.client.peer->labels;
    if (const route::L4Route* route = target.frontend->routes->l4().Find(view)) {
      const route::L4Backend& backend =
          route::ChooseBackend(*route, absl::Uniform<uint64_t>(core.random));
      return scene.config->FindCluster(backend.cluster);
    }
  }
  return DefaultCluster(*scene.config, target);
}

// `port`: what policies of this target call it.
absl::Status Permitted(const Scene& scene, const filter::PolicySet* policies, const lb::Host& host,
                       uint16_t port, const std::string& sni) {
  if (policies == nullptr || policies->empty()) return absl::OkStatus();
  filter::RequestAttributes attributes;
  const Client& client = scene.client;
  if (client.identity) {
    attributes.source = {client.principal, client.identity->trust_domain, client.identity->ns,
                         client.identity->service_account};
  }
  attributes.source_ip = attributes.remote_ip = client.address.ip;
  attributes.destination_ip = host.address.ip;
  attributes.destination_port = port;
  attributes.sni = sni;
  const filter::Verdict verdict = filter::Check(*policies, attributes);
  if (verdict.allowed) return absl::OkStatus();
  return telemetry::WithReason(PermissionDenied("{}", verdict.Detail()), MESH_REASON_POLICY_DENY);
}

base::Task<absl::Status> Connect(Core& core, SceneRef scene, transport::Transport& client,
                                 std::string sni) {
  const lb::ClusterRef cluster = ClusterFor(core, *scene, sni);
  if (cluster == nullptr) {
    co_return telemetry::WithReason(NotFound("the route's cluster is not known"),
                                    MESH_REASON_UNKNOWN_DESTINATION);
  }
  const lb::Host* host =
      lb::Choose(*cluster, {.hash = {}, .tried = {}, .now = core.loop.Now()}, core.random);
  if (host == nullptr) {
    co_return telemetry::WithReason(Unavailable("no endpoint of {}", cluster->name()),
                                    MESH_REASON_NO_HEALTHY_ENDPOINT);
  }
  const Frontend* frontend = scene->target.frontend.get();
  CO_RETURN_IF_ERROR(Permitted(*scene, frontend != nullptr ? frontend->policies.get() : nullptr,
                               *host, scene->target.port, sni));
  const Peer* peer =
      host->workload != nullptr ? scene->config->FindPeer(host->workload->uid) : nullptr;
  CO_RETURN_IF_ERROR(Permitted(*scene, peer != nullptr ? peer->policies.get() : nullptr, *host,
                               host->address.port, sni));
  auto server = co_await OpenTransport(core, cluster, *host);
  if (!server.ok()) {
    lb::ReportFailure(*cluster, *host, lb::LocalFailure::kConnect, absl::Now());
    co_return server.status();
  }
  co_await PassBytes(core, client, **server, cluster->options().tcp_idle_timeout);
  co_return absl::OkStatus();
}

}  // namespace

base::Task<void> ServeTcp(Core& core, SceneRef scene, std::unique_ptr<transport::Transport> client,
                          std::string sni) {
  // Who made the transport is still on the stack and holds on to it.
  co_await base::Yield(core.loop);
  const absl::Status status = co_await Connect(core, scene, *client, std::move(sni));
  if (status.ok()) co_return;
  core.metrics.EarlyFailure(telemetry::Direction::kInbound, scene->client.address,
                            scene->target.asked, status);
}

}  // namespace mesh::waypoint
