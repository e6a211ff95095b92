#include "tools/meshctl/local/runtime.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <optional>

#include "tools/meshctl/local/addresses.h"
#include "tools/meshctl/local/cgroup.h"
#include "tools/meshctl/local/files.h"
#include "tools/meshctl/local/log_limit.h"
#include "tools/meshctl/local/pods.h"
#include "tools/meshctl/local/supervisor.h"
#include "tools/meshctl/local/teardown.h"
#include "tools/meshctl/local/waypoint_pods.h"
#include "ztunnel/base/files.h"
#include "ztunnel/base/log.h"
#include "ztunnel/base/status.h"
#include "ztunnel/base/unique_fd.h"

namespace mesh::local {
namespace {

constexpr absl::Duration kRescan = absl::Seconds(2);  // should a notification have been missed

// Tells that something below the watched folders changed, not what: reading is cheap.
class Watcher {
 public:
  Watcher() : fd_(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC)) {}
  int fd() const { return fd_.get(); }
  void Watch(const std::string& dir) {
    ::inotify_add_watch(fd_.get(), dir.c_str(),
                        IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_CREATE);
    for (const std::string& name : ListDir(dir)) {
      struct stat info = {};
      if (::stat((dir + "/" + name).c_str(), &info) == 0 && S_ISDIR(info.st_mode))
        Watch(dir + "/" + name);
    }
  }
  bool Drain() {
    char buffer[8192];
    bool any = false;
    while (::read(fd_.get(), buffer, sizeof(buffer)) > 0) any = true;
    return any;
  }

 private:
  UniqueFd fd_;
};

class Runtime {
 public:
  Runtime(const Layout& layout, const Config& config, const MeshCgroup& cgroup)
      : host_{layout, config, cgroup, Network(layout, config), ImageTable(), Children(), user_},
        user_(UserDirs(layout, config)),
        pods_(host_),
        addresses_(layout, config.ipv6) {}

  absl::Status Start() {
    const Layout& layout = host_.layout;
    for (const std::string& dir :
         {layout.manifests(), layout.run() + "/pods", layout.run() + "/nodes", layout.patch(),
          layout.made(), layout.pids(), layout.pki(), layout.log() + "/pods"}) {
      RETURN_IF_ERROR(MakeDirs(dir));
    }
    RETURN_IF_ERROR(host_.network.Build());
    for (const NodeConfig& node : host_.config.nodes) {
      RETURN_IF_ERROR(MakeDirs(layout.node_dir(node.name)));
      RETURN_IF_ERROR(MakeDirs(host_.cgroup.kubelet(node.name)));
      RETURN_IF_ERROR(WriteNode(node));
    }
    ASSIGN_OR_RETURN(TokenSigner signer, TokenSigner::Open(layout.pki()));
    if (host_.config.mesh) {
      host_.signer = signer;
      supervisor_.emplace(host_, std::move(signer));
      RETURN_IF_ERROR(supervisor_->Prepare());
    }
    for (const std::string& dir : UserDirs(layout, host_.config)) watcher_.Watch(dir);
    watcher_.Watch(layout.run() + "/pods");
    watcher_.Watch(layout.root());
    return absl::OkStatus();
  }

  void Run(int signals) {
    while (!stop_) {
      const absl::Time now = absl::Now();
      if (dirty_ || now >= rescan_at_) Reload(now);
      if (supervisor_) supervisor_->Tick(now);
      pods_.Tick(now);
      WriteState();
      log_limit_.Tick(now, host_.layout.log());
      pollfd fds[2] = {{signals, POLLIN, 0}, {watcher_.fd(), POLLIN, 0}};
      ::poll(fds, 2, pods_.busy() || !settled_ ? 20 : 200);
      dirty_ = watcher_.Drain();
      ReadSignals(signals);
      host_.children.Reap();
    }
  }

 private:
  static std::vector<std::string> UserDirs(const Layout& layout, const Config& config) {
    std::vector<std::string> dirs = config.manifest_dirs;
    dirs.push_back(layout.manifests());
    dirs.push_back(layout.made());
    return dirs;
  }

  void Reload(absl::Time now) {
    rescan_at_ = now + kRescan;
    const std::string images = ReadFileOr(host_.layout.root() + "/images.yaml");
    if (images != images_) {
      images_ = images;
      const absl::Status status = host_.images.Load(images);
      if (!status.ok())
        Logger("images")->error("images.yaml is not used err={}", MessageOf(status));
    }
    if (!user_.Reload()) return;
    for (const std::string& dir : UserDirs(host_.layout, host_.config))
      watcher_.Watch(dir);  // new folders
    for (const Problem& problem : user_.problems()) {
      Logger("manifests")
          ->error("{}: {}; the last good version stays", problem.file, problem.message);
    }
    const absl::Status status = addresses_.Reconcile(user_);
    if (!status.ok()) Logger("addresses")->error("{}", MessageOf(status));
    std::vector<PodSet> plan = PlanPods(user_);
    if (host_.config.mesh) AddWaypointPods(user_, host_.layout, host_.config.ipv6, plan);
    pods_.Apply(plan);
  }

  void ReadSignals(int fd) {
    signalfd_siginfo info;
    while (::read(fd, &info, sizeof(info)) == sizeof(info)) {
      if (info.ssi_signo != SIGCHLD) stop_ = true;
    }
  }

  absl::Status WriteNode(const NodeConfig& node) {
    Json object = Json::Obj({{"apiVersion", "v1"}, {"kind", "Node"}});
    object["metadata"] = Json::Obj({{"name", node.name}, {"uid", "local-node-" + node.name}});
    object["metadata"]["labels"] =
        Json::Obj({{"kubernetes.io/hostname", node.name}, {"kubernetes.io/os", "linux"}});
    object["spec"]["podCIDR"] = PodCidr(node.index, 4);
    for (const int family : {4, 6}) {
      if (family == 6 && !host_.config.ipv6) continue;
      object["spec"]["podCIDRs"].Push(PodCidr(node.index, family));
      object["status"]["addresses"].Push(
          Json::Obj({{"type", "InternalIP"}, {"address", NodeIp(node.index, family)}}));
    }
    object["status"]["addresses"].Push(Json::Obj({{"type", "Hostname"}, {"address", node.name}}));
    object["status"]["conditions"].Push(Json::Obj({{"type", "Ready"}, {"status", "True"}}));
    return WriteFile(host_.layout.run() + "/nodes/" + node.name + ".json",
                     object.Dump(true) + "\n");
  }

  void WriteState() {
    settled_ = !supervisor_ || supervisor_->all_running();
    Json state = Json::Obj({{"pid", static_cast<int>(::getpid())}, {"started", true}});
    state["daemons"] = supervisor_ ? supervisor_->Status() : Json(Json::Array{});
    for (const Problem& problem : user_.problems()) {
      state["problems"].Push(Json::Obj({{"file", problem.file}, {"message", problem.message}}));
    }
    const std::string text = state.Dump(true) + "\n";
    if (text == state_) return;
    state_ = text;
    (void)WriteFile(host_.layout.state_file(), text);
  }

  PodHost host_;
  ObjectStore user_;
  Watcher watcher_;
  Pods pods_;
  ServiceAddresses addresses_;
  std::optional<Supervisor> supervisor_;
  LogLimit log_limit_;
  std::string images_, state_;
  bool stop_ = false, dirty_ = true, settled_ = false;
  absl::Time rescan_at_ = absl::InfinitePast();
};

absl::StatusOr<UniqueFd> TakeLock(const Layout& layout) {
  UniqueFd lock(::open((layout.root() + "/run.lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  if (!lock) return Errno(errno, "open {}/run.lock", layout.root());
  if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0)
    return AlreadyExists("mesh \"{}\" is running already", layout.name);
  RETURN_IF_ERROR(WriteFile(layout.root() + "/run.pid", std::to_string(::getpid()) + "\n"));
  return lock;
}

absl::Status RunLocked(const Layout& layout, int signals) {
  ASSIGN_OR_RETURN(const Config config, Config::Load(layout));
  ASSIGN_OR_RETURN(const MeshCgroup cgroup, MeshCgroup::Find(layout.name));
  RETURN_IF_ERROR(MakeDirs(cgroup.runtime()));
  RETURN_IF_ERROR(WriteControl(cgroup.runtime() + "/cgroup.procs", "0"));
  for (const std::string& problem : Teardown(layout, /*keep_files=*/true).problems) {
    Logger("runtime")->warn("left over from an earlier run: {}", problem);
  }
  Runtime runtime(layout, config, cgroup);
  RETURN_IF_ERROR(runtime.Start());
  Logger("runtime")->info("mesh {} is built nodes={}", layout.name, config.nodes.size());
  runtime.Run(signals);
  return absl::OkStatus();
}

}  // namespace

int RunRuntime(const Layout& layout) {
  sigset_t set;
  ::sigemptyset(&set);
  for (const int signal : {SIGTERM, SIGINT, SIGCHLD}) ::sigaddset(&set, signal);
  ::sigprocmask(SIG_BLOCK, &set, nullptr);
  ::signal(SIGHUP, SIG_IGN);
  ::signal(SIGPIPE, SIG_IGN);
  const UniqueFd signals(::signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC));
  rlimit files = {};
  ::getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &files);

  auto lock = TakeLock(layout);
  if (!lock.ok()) {
    Logger("runtime")->error("{}", MessageOf(lock.status()));
    return 1;
  }
  ::unlink(layout.state_file().c_str());
  const absl::Status status = RunLocked(layout, signals.get());
  if (status.ok()) return 0;
  Logger("runtime")->error("the mesh cannot be built err={}", MessageOf(status));
  (void)WriteFile(layout.state_file(),
                  Json::Obj({{"error", std::string(MessageOf(status))}}).Dump() + "\n");
  return 1;
}

}  // namespace mesh::local
