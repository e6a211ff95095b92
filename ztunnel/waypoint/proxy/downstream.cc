#include "ztunnel/waypoint/proxy/downstream.h"

#include "ztunnel/base/log.h"
#include "ztunnel/waypoint/http/http1_server.h"
#include "ztunnel/waypoint/http/http2_server.h"
#include "ztunnel/waypoint/proxy/tcp.h"
#include "ztunnel/waypoint/transport/sni.h"
#include "ztunnel/waypoint/transport/sniff_transport.h"

namespace mesh::waypoint {
namespace {

using transport::Spoken;

base::Task<void> ServeExchange(std::unique_ptr<Exchange> exchange) { co_await exchange->Run(); }

}  // namespace

class Downstreams::Connection final : public http::ServerVisitor {
 public:
  Connection(Downstreams& all, SceneRef scene, std::unique_ptr<transport::Transport> transport)
      : all_(all),
        scene_(std::move(scene)),
        sniff_(std::make_unique<transport::SniffTransport>(all.core_.loop, std::move(transport))) {}

  void Start() {
    if (Protocol() == PortProtocol::kTcp) {
      ServeAsTcp("");
      return;
    }
    sniff_->Sniff(all_.core_.options.detect_timeout, [this](Spoken spoken) { Serve(spoken); });
  }
  void Drain() {
    if (codec_ != nullptr) codec_->Drain();
  }

  std::list<std::unique_ptr<Connection>>::iterator place;

 private:
  PortProtocol Protocol() const {
    const Frontend* frontend = scene_->target.frontend.get();
    return frontend != nullptr ? frontend->protocol : PortProtocol::kDetect;
  }

  void Serve(Spoken spoken) {
    const PortProtocol protocol = Protocol();
    const bool http = protocol == PortProtocol::kHttp || protocol == PortProtocol::kHttp2 ||
                      (protocol == PortProtocol::kDetect &&
                       (spoken == Spoken::kHttp1 || spoken == Spoken::kHttp2));
    // A name that could not be read is not the same as none where somebody asks for it.
    const bool asks_for_names =
        scene_->target.frontend != nullptr && (!scene_->target.frontend->policies->empty() ||
                                               !scene_->target.frontend->routes->l4().tls.empty());
    if (spoken == Spoken::kUndecided && transport::BeginsTls(sniff_->first()) && asks_for_names) {
      all_.OnClosed(*this);
      return;
    }
    if (!http) {
      ServeAsTcp(spoken == Spoken::kTls ? transport::SniOf(sniff_->first()) : "");
      return;
    }
    base::EventLoop& loop = all_.core_.loop;
    const http::Limits& limits = all_.core_.options.limits;
    const bool http2 = spoken == Spoken::kHttp2 ||
                       (protocol == PortProtocol::kHttp2 && spoken == Spoken::kUndecided);
    codec_ = http2 ? http::MakeHttp2Server(loop, std::move(sniff_), *this, limits)
                   : http::MakeHttp1Server(loop, std::move(sniff_), *this, limits);
    if (all_.draining_) codec_->Drain();
  }

  // A connection may live long: its next request sees the configuration of its own time.
  void Refresh() {
    if (scene_->config == all_.core_.config) return;
    absl::StatusOr<SceneRef> scene =
        MakeScene(all_.core_, scene_->client.address, scene_->client.identity, scene_->authority);
    if (scene.ok()) {
      scene_ = *std::move(scene);
    } else {
      codec_->Drain();  // the target is gone: this request is the connection's last
    }
  }

  // The task owns the transport from now on.
  void ServeAsTcp(std::string sni) {
    all_.requests_.Start(ServeTcp(all_.core_, scene_, std::move(sniff_), std::move(sni)));
    all_.OnClosed(*this);
  }

  http::StreamEvents* OnRequest(http::ServerStream& stream, http::RequestHead head,
                                bool end) override {
    Refresh();
    auto exchange = std::make_unique<Exchange>(all_.core_, scene_, stream, std::move(head), end);
    Exchange* events = exchange.get();
    all_.requests_.Start(ServeExchange(std::move(exchange)));
    return events;
  }
  void OnBadRequest(uint16_t status, std::string_view detail) override {
    static const auto log = Logger("access");
    log->info("request refused status={} client={} reason={}", status,
              scene_->client.address.ToString(), Quoted(detail));
  }
  void OnConnectionClosed() override { all_.OnClosed(*this); }

  Downstreams& all_;
  SceneRef scene_;
  std::unique_ptr<transport::SniffTransport> sniff_;
  std::unique_ptr<http::ServerConnection> codec_;
};

Downstreams::Downstreams(Core& core) : core_(core) {}

Downstreams::~Downstreams() {
  requests_.CancelAll();
  core_.loop.CancelDefer(*this);
}

void Downstreams::Add(SceneRef scene, std::unique_ptr<transport::Transport> transport) {
  live_.push_back(std::make_unique<Connection>(*this, std::move(scene), std::move(transport)));
  live_.back()->place = std::prev(live_.end());
  live_.back()->Start();
}

void Downstreams::Drain() {
  draining_ = true;
  for (const auto& connection : live_) connection->Drain();
}

void Downstreams::OnClosed(Connection& connection) {
  dead_.splice(dead_.end(), live_, connection.place);
  core_.loop.Defer(*this);
}

void Downstreams::RunDeferred() { dead_.clear(); }

}  // namespace mesh::waypoint
