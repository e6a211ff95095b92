#include "tools/meshctl/dns/name_server.h"

#include <sys/epoll.h>

#include "agent/k8s/local_source.h"
#include "tools/meshctl/dns/listener.h"
#include "tools/meshctl/local/addresses.h"
#include "ztunnel/base/log.h"
#include "ztunnel/base/status.h"

namespace mesh::local {
namespace {

constexpr const char* kResolvConf = "/etc/resolv.conf";
constexpr absl::Duration kReadAgain = absl::Seconds(5);  // a laptop changes its network

class NameServer final : public base::EventHandler {
 public:
  NameServer() : zone_(catalog_), upstream_(loop_) {}
  ~NameServer() override {
    if (source_) loop_.Remove(source_->fd(), *this);
  }
  NameServer(const NameServer&) = delete;
  NameServer& operator=(const NameServer&) = delete;

  absl::Status Start(const Layout& layout) {
    ASSIGN_OR_RETURN(const Config config, Config::Load(layout));
    ASSIGN_OR_RETURN(source_, k8s::LocalSource::Create(config.SourceDirs(layout)));
    RETURN_IF_ERROR(loop_.Add(source_->fd(), EPOLLIN, *this));
    OnEvents(0);
    ReadResolvConf();
    const SocketAddress address = {*IpAddress::Parse(kClusterDns), 53};
    for (const NodeConfig& node : config.nodes) {
      ASSIGN_OR_RETURN(const Netns netns,
                       Netns::Open(Layout::netns_path(layout.netns_name(node.name))));
      ASSIGN_OR_RETURN(auto listener, DnsListener::Listen(loop_, netns, address, zone_, upstream_));
      listeners_.push_back(std::move(listener));
    }
    Logger("dns")->info("serving address={} nodes={} services={}", address.ToString(),
                        listeners_.size(), catalog_.services().size());
    return absl::OkStatus();
  }
  void Run() { loop_.Run(); }

  void OnEvents(uint32_t) override {
    source_->Poll([this](const std::vector<k8s::Event>& events) { catalog_.Apply(events); });
  }

 private:
  void ReadResolvConf() {
    upstream_.SetServers(ReadNameservers(kResolvConf));
    loop_.After(kReadAgain, [this] { ReadResolvConf(); });
  }

  base::EventLoop loop_;
  std::unique_ptr<k8s::LocalSource> source_;
  k8s::ServiceCatalog catalog_;
  Zone zone_;
  Upstream upstream_;
  std::vector<std::unique_ptr<DnsListener>> listeners_;
};

}  // namespace

int RunNameServer(const Layout& layout) {
  NameServer server;
  if (const absl::Status status = server.Start(layout); !status.ok()) {
    Logger("dns")->error("cannot start: {}", MessageOf(status));
    return 1;
  }
  server.Run();
  return 0;
}

}  // namespace mesh::local
