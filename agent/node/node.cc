#include "agent/node/node.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/signalfd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <mutex>
#include <thread>

#include "agent/k8s/local_source.h"
#include "agent/node/bpf/dataplane.h"
#include "agent/node/bpf/mounts.h"
#include "agent/node/bpf/pins.h"
#include "agent/node/cleanup.h"
#include "agent/node/cni/event.h"
#include "agent/node/enroll/enroller.h"
#include "agent/node/enroll/routing.h"
#include "agent/node/main_queue.h"
#include "agent/node/services/service_sync.h"
#include "agent/node/services/service_table.h"
#include "agent/node/source_view.h"
#include "agent/node/status.h"
#include "agent/node/zds/news.h"
#include "ztunnel/base/http/server.h"
#include "ztunnel/base/log.h"
#include "ztunnel/base/status.h"

namespace mesh::node {
namespace {

// The plugin waits 5 s; within that the source may still show the pod, and a ztunnel connect.
constexpr absl::Duration kCniPatience = absl::Milliseconds(3000);
constexpr absl::Duration kCniPause = absl::Milliseconds(25);
constexpr absl::Duration kRefreshCgroups = absl::Seconds(2);
constexpr absl::Duration kRescan = absl::Seconds(5);
constexpr int kHttpThreads = 4;
constexpr size_t kMaxBodyBytes = size_t{256} << 10;

// Blocks the signals that end the program, here and in every thread started later.
absl::StatusOr<UniqueFd> EndSignals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  if (::pthread_sigmask(SIG_BLOCK, &set, nullptr) != 0) return Errno(errno, "block signals");
  ::signal(SIGPIPE, SIG_IGN);
  UniqueFd fd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd) return Errno(errno, "signalfd");
  return fd;
}

absl::StatusOr<DataplaneOptions> DataplaneOptionsOf(const NodeOptions& options) {
  DataplaneOptions out = {.bpf_dir = options.bpf_dir,
                          .cgroup = options.cgroup,
                          .ztunnel_cgroup = options.ztunnel_cgroup,
                          .prober_cgroup = options.prober_cgroup,
                          .probe_v4 = {},
                          .probe_v6 = {},
                          .services = options.services};
  if (out.cgroup.empty()) {
    ASSIGN_OR_RETURN(const CgroupMount mount, FindCgroup2());
    out.cgroup = mount.path;
  }
  const auto v4 = IpAddress::Parse(options.probe_ipv4), v6 = IpAddress::Parse(options.probe_ipv6);
  if (!v4 || !v4->IsV4())
    return Invalid("probe address \"{}\" is no IPv4 address", options.probe_ipv4);
  if (!v6 || v6->IsV4())
    return Invalid("probe address \"{}\" is no IPv6 address", options.probe_ipv6);
  out.probe_v4 = *v4;
  out.probe_v6 = *v6;
  return out;
}

class Node {
 public:
  explicit Node(const NodeOptions& options)
      : options_(options),
        annotator_(options.patch_dir, options.node_name),
        view_(options.node_name, options.root_namespace) {}
  ~Node() {
    // Callers in the servers' threads get an answer before their servers end.
    queue_.Close();
    cni_.reset();
    admin_.reset();
    metrics_.reset();
    zds_.reset();
  }

  absl::Status Start();
  void Run(int end_signals);

 private:
  absl::Status Lock();
  absl::Status OpenDataplane();
  absl::Status StartServers();
  void PollSource();
  void TakeNews();
  void Publish();
  base::HttpResponse CniAdd(const std::string& body);
  NodeStatus Status() const;

  const NodeOptions options_;
  MainQueue queue_;
  zds::News news_;
  PatchAnnotator annotator_;
  SourceView view_;
  k8s::ServiceCatalog catalog_;  // empty when services are somebody else's
  UniqueFd lock_;
  std::unique_ptr<k8s::LocalSource> source_;
  std::unique_ptr<Dataplane> dataplane_;
  std::unique_ptr<ServiceSync> services_;
  std::unique_ptr<zds::Server> zds_;
  std::unique_ptr<Enroller> enroller_;
  std::unique_ptr<base::HttpServer> cni_, admin_, metrics_;
  absl::Time next_cgroups_ = absl::InfinitePast();

  mutable std::mutex mutex_;  // below: read by the servers' threads
  std::vector<PodReport> report_;
  bool synced_ = false;
  std::map<int, uint64_t> cni_answers_;
  std::map<std::string, uint64_t> pod_events_;
};

// Two agents of one node would undo each other's work. The one before may be on its way out.
absl::Status Node::Lock() {
  const std::string path = LockFile(options_.state_dir);
  lock_.Reset(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!lock_) return Errno(errno, "open {}", path);
  for (int i = 0; i < 100; ++i) {
    if (::flock(lock_.get(), LOCK_EX | LOCK_NB) == 0) return absl::OkStatus();
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  return FailedPrecondition("{} is held: another agent of this node is running", path);
}

absl::Status Node::OpenDataplane() {
  ASSIGN_OR_RETURN(const DataplaneOptions dataplane, DataplaneOptionsOf(options_));
  ASSIGN_OR_RETURN(dataplane_, Dataplane::Open(dataplane));
  if (!options_.prober_cgroup.empty()) {
    RETURN_IF_ERROR(AddLoopbackAddress(dataplane.probe_v4));
    if (const absl::Status v6 = AddLoopbackAddress(dataplane.probe_v6); !v6.ok()) {
      Logger("node")->warn("no probes over IPv6: {}", Describe(v6));
    }
  }
  services_ = std::make_unique<ServiceSync>(*dataplane_);
  Logger("node")->info("programs are in place bpf_dir={} cgroup={} adopted={}", options_.bpf_dir,
                       dataplane.cgroup, dataplane_->adopted());
  return absl::OkStatus();
}

absl::Status Node::Start() {
  if (options_.node_name.empty()) return Invalid("the node has no name (--node-name)");
  RETURN_IF_ERROR(MakeDirs(options_.state_dir));
  if (!options_.patch_dir.empty()) RETURN_IF_ERROR(MakeDirs(options_.patch_dir));
  RETURN_IF_ERROR(Lock());
  RETURN_IF_ERROR(OpenDataplane());
  if (!options_.runtime_dir.empty() &&
      std::ranges::find(options_.source_dirs, options_.runtime_dir) == options_.source_dirs.end()) {
    return Invalid("--runtime-dir {} is no --source-dir", options_.runtime_dir);
  }
  ASSIGN_OR_RETURN(source_, k8s::LocalSource::Create(options_.source_dirs, kRescan,
                                                     {"local.mesh/netns", options_.runtime_dir}));
  RETURN_IF_ERROR(source_->KeepRecord(ObjectsDir(options_.state_dir)));
  zds::Server::Observer observer = {.on_snapshot_ack =
                                        [this](const std::string& uid, const absl::Status& status) {
                                          news_.Answered(uid, status);
                                          queue_.Wake();
                                        },
                                    .on_connections =
                                        [this](int n) {
                                          news_.Connected(n);
                                          queue_.Wake();
                                        }};
  ASSIGN_OR_RETURN(zds_, zds::Server::Create(options_.zds_socket, std::move(observer)));
  EnrollerOptions enrol = {
      .decision = {.excluded_namespaces = StringSet(options_.exclude_namespaces.begin(),
                                                    options_.exclude_namespaces.end()),
                   .system_namespace = "istio-system"},
      .dns_capture = options_.dns_capture,
      .state_file = StateFile(options_.state_dir)};
  enroller_ = std::make_unique<Enroller>(std::move(enrol), *dataplane_, *zds_, annotator_);
  RETURN_IF_ERROR(enroller_->Restore());
  PollSource();
  // Only now is every captured pod held, also those that a lost record does not name.
  RETURN_IF_ERROR(zds_->Listen());
  return StartServers();
}

absl::Status Node::StartServers() {
  const auto listen = [](const std::string& address, std::vector<base::HttpRoute> routes) {
    return base::HttpServer::Listen(address, base::Routes(std::move(routes)),
                                    {.threads = kHttpThreads, .max_body_bytes = kMaxBodyBytes});
  };
  const base::HttpRoute add = {
      "POST", "/cmdadd", [this](const base::HttpRequest& request) { return CniAdd(request.body); }};
  const base::HttpRoute metrics = {
      "GET", "/metrics", [this](const base::HttpRequest&) {
        return base::HttpResponse{.body = MetricsPage(Status()),
                                  .content_type = "text/plain; version=0.0.4; charset=utf-8"};
      }};
  const base::HttpRoute health = {"GET", "/healthz", [](const base::HttpRequest&) {
                                    return base::HttpResponse{.body = "ok\n"};
                                  }};
  const base::HttpRoute status = {"GET", "/status", [this](const base::HttpRequest&) {
                                    return base::HttpResponse{.body = StatusJson(Status()),
                                                              .content_type = "application/json"};
                                  }};
  ASSIGN_OR_RETURN(cni_, listen(options_.cni_socket, {add}));
  if (!options_.admin_socket.empty()) {
    ASSIGN_OR_RETURN(admin_, listen(options_.admin_socket, {metrics, health, status}));
  }
  if (!options_.metrics_address.empty()) {
    ASSIGN_OR_RETURN(metrics_, listen(options_.metrics_address, {metrics, health}));
    Logger("node")->info("metrics on port={}", metrics_->port());
  }
  return absl::OkStatus();
}

void Node::PollSource() {
  bool changed = false, services_changed = false;
  source_->Poll([&](const std::vector<k8s::Event>& events) {
    changed = true;
    view_.Apply(events);
    if (options_.services) services_changed = catalog_.Apply(events);
    std::lock_guard lock(mutex_);
    for (const k8s::Event& event : events) {
      if (event.object.kind() == k8s::Kind::kPod)
        ++pod_events_[event.deleted ? "Delete" : "Update"];
    }
    synced_ = true;
  });
  if (changed) enroller_->SetPods(view_.Pods());
  if (services_changed) services_->Apply(BuildServiceTable(catalog_, options_.node_name));
}

base::HttpResponse Node::CniAdd(const std::string& body) {
  base::HttpResponse reply;
  absl::StatusOr<CniEvent> event = ParseCniEvent(body);
  absl::Status status = event.status();
  const absl::Time end = absl::Now() + kCniPatience;
  while (event.ok()) {
    const auto answer = queue_.Call([this, &event] {
      PollSource();
      return enroller_->OnCniAdd(*event);
    });
    status = answer ? *answer : Unavailable("the agent is ending");
    const bool may_pass = absl::IsNotFound(status) || absl::IsUnavailable(status);
    if (!answer || !may_pass || absl::Now() > end) break;
    std::this_thread::sleep_for(absl::ToChronoMilliseconds(kCniPause));
  }
  if (!status.ok()) {
    reply.status = absl::IsInvalidArgument(status) ? 400 : absl::IsNotFound(status) ? 404 : 503;
    reply.body = std::string(MessageOf(status)) + "\n";
    Logger("cni")->warn("refused: {}", Describe(status));
  }
  std::lock_guard lock(mutex_);
  ++cni_answers_[reply.status];
  return reply;
}

void Node::TakeNews() {
  const zds::News::Items news = news_.Take();
  for (const auto& [uid, status] : news.answers) enroller_->OnSnapshotAck(uid, status);
  if (news.connected) enroller_->OnConnections(*news.connected);
}

void Node::Publish() {
  std::vector<PodReport> report = enroller_->Report();
  std::lock_guard lock(mutex_);
  report_ = std::move(report);
}

NodeStatus Node::Status() const {
  NodeStatus status;
  status.node = options_.node_name;
  status.ztunnels = zds_->connected();
  status.programs = dataplane_->Programs();
  status.maps = dataplane_->Maps();
  status.counters = dataplane_->ReadCounters();
  std::lock_guard lock(mutex_);
  status.source_synced = synced_;
  status.pods = report_;
  status.cni_answers = cni_answers_;
  status.pod_events = pod_events_;
  return status;
}

void Node::Run(int end_signals) {
  for (;;) {
    const absl::Duration wait = enroller_->Tick();
    Publish();
    pollfd fds[] = {{.fd = end_signals, .events = POLLIN, .revents = 0},
                    {.fd = queue_.fd(), .events = POLLIN, .revents = 0},
                    {.fd = source_->fd(), .events = POLLIN, .revents = 0}};
    const absl::Duration limit = std::min(wait, kRefreshCgroups);
    ::poll(fds, std::size(fds), static_cast<int>(absl::ToInt64Milliseconds(limit)) + 1);
    if (fds[0].revents != 0) return;
    if (fds[2].revents != 0) PollSource();
    queue_.Drain();
    TakeNews();
    if (absl::Now() < next_cgroups_) continue;
    next_cgroups_ = absl::Now() + kRefreshCgroups;
    if (const absl::Status status = dataplane_->RefreshCgroups(); !status.ok()) {
      Logger("node")->warn("cgroups: {}", Describe(status));
    }
  }
}

}  // namespace

int RunNode(const NodeOptions& options) {
  absl::StatusOr<UniqueFd> signals = EndSignals();
  if (!signals.ok()) {
    Logger("node")->error("{}", Describe(signals.status()));
    return 1;
  }
  if (options.cleanup) {
    const absl::Status status = CleanUpNode(options);
    if (!status.ok()) Logger("node")->error("cleanup: {}", Describe(status));
    return status.ok() ? 0 : 1;
  }
  Node node(options);
  if (const absl::Status status = node.Start(); !status.ok()) {
    Logger("node")->error("cannot start: {}", Describe(status));
    return 1;
  }
  Logger("node")->info("running node={}", options.node_name);
  node.Run(signals->get());
  Logger("node")->info("ending; what is pinned stays");
  return 0;
}

}  // namespace mesh::node
