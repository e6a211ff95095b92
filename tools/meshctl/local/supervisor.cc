#include "tools/meshctl/local/supervisor.h"

#include <algorithm>
#include <cstdlib>

#include "tools/meshctl/local/files.h"
#include "ztunnel/base/files.h"
#include "ztunnel/base/log.h"
#include "ztunnel/base/status.h"

namespace mesh::local {
namespace {

constexpr absl::Duration kTokenLifetime = absl::Hours(12);

std::vector<std::string> BaseEnv() {
  std::vector<std::string> env = {
      "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root"};
  // What a person set for the daemons goes through to them: MESH_LOCAL_ENV="SECRET_TTL=60s
  // RUST_LOG=debug".
  if (const char* extra = std::getenv("MESH_LOCAL_ENV")) {
    std::string_view rest = extra;
    while (!rest.empty()) {
      const size_t space = rest.find(' ');
      if (space != 0) env.emplace_back(rest.substr(0, space));
      rest = space == std::string_view::npos ? std::string_view() : rest.substr(space + 1);
    }
  }
  return env;
}

void SetDefault(std::vector<std::string>& env, const std::string& name, const std::string& value) {
  for (const std::string& entry : env) {
    if (entry.starts_with(name + "=")) return;
  }
  env.push_back(name + "=" + value);
}

}  // namespace

Supervisor::Supervisor(PodHost& host, TokenSigner signer)
    : host_(host), signer_(std::move(signer)) {
  AddController();
  AddNameServer();
  for (const NodeConfig& node : host_.config.nodes) AddNode(node);
}

std::vector<std::string> Supervisor::SourceFlags() const {
  std::vector<std::string> flags;
  for (const std::string& dir : host_.config.SourceDirs(host_.layout)) {
    flags.push_back("--source-dir");
    flags.push_back(dir);
  }
  return flags;
}

void Supervisor::AddController() {
  const Layout& layout = host_.layout;
  Daemon& daemon = daemons_.emplace_back();
  daemon.name = "controller";
  daemon.launch.argv = {host_.config.bin_dir + "/mesh-agent",
                        "controller",
                        "--record-dir",
                        layout.record(),
                        "--status-dir",
                        layout.patch(),
                        "--objects-dir",
                        layout.made(),
                        "--auto-waypoints",
                        "--xds-address",
                        ControllerAddress(),
                        "--ca-dir",
                        layout.pki() + "/ca",
                        "--root-cert-out",
                        layout.root_cert(),
                        "--token-key",
                        layout.pki() + "/sa.pub",
                        "--http-address",
                        "127.0.0.1:15014"};
  const auto sources = SourceFlags();
  daemon.launch.argv.insert(daemon.launch.argv.end(), sources.begin(), sources.end());
  // More flags for a trial: MESH_LOCAL_CONTROLLER_FLAGS="--max-cert-lifetime 60s".
  if (const char* extra = std::getenv("MESH_LOCAL_CONTROLLER_FLAGS")) {
    std::string_view rest = extra;
    while (!rest.empty()) {
      const size_t space = rest.find(' ');
      if (space != 0) daemon.launch.argv.emplace_back(rest.substr(0, space));
      rest = space == std::string_view::npos ? std::string_view() : rest.substr(space + 1);
    }
  }
  daemon.launch.env = BaseEnv();
  daemon.launch.netns = Layout::netns_path(layout.netns_name("controller"));
  daemon.launch.cgroup = host_.cgroup.controller();
}

// In the machine's own namespace: what is not the cluster's is asked the machine's way.
void Supervisor::AddNameServer() {
  Daemon& daemon = daemons_.emplace_back();
  daemon.name = "kube-dns";
  daemon.launch.argv = {SelfPath(), "--name", host_.layout.name, "local", "dns"};
  daemon.launch.env = BaseEnv();
  daemon.launch.cgroup = host_.cgroup.name_server();
}

void Supervisor::AddNode(const NodeConfig& node) {
  const Layout& layout = host_.layout;
  const std::string dir = layout.node_dir(node.name),
                    netns = Layout::netns_path(layout.netns_name(node.name));
  subjects_[node.name] = {node.name, NewUid(), "ztunnel-" + node.name, NewUid()};

  Daemon& agent = daemons_.emplace_back();
  agent.name = "agent-" + node.name;
  agent.launch.argv = {host_.config.bin_dir + "/mesh-agent",
                       "node",
                       "--node-name",
                       node.name,
                       "--runtime-dir",
                       layout.run(),
                       "--patch-dir",
                       layout.patch(),
                       "--cgroup",
                       host_.cgroup.node(node.name),
                       "--ztunnel-cgroup",
                       host_.cgroup.ztunnel(node.name),
                       "--prober-cgroup",
                       host_.cgroup.kubelet(node.name),
                       "--bpf-dir",
                       layout.bpf_dir(node.name),
                       "--zds-socket",
                       dir + "/zds.sock",
                       "--cni-socket",
                       dir + "/cni.sock",
                       "--admin-socket",
                       layout.agent_socket(node.name),
                       "--state-dir",
                       dir + "/state",
                       "--services"};
  const auto sources = SourceFlags();
  agent.launch.argv.insert(agent.launch.argv.end(), sources.begin(), sources.end());
  agent.launch.env = BaseEnv();
  agent.launch.netns = netns;
  agent.launch.cgroup = host_.cgroup.agent(node.name);

  Daemon& ztunnel = daemons_.emplace_back();
  ztunnel.name = "ztunnel-" + node.name;
  ztunnel.launch.argv = {host_.config.bin_dir + "/ztunnel"};
  std::vector<std::string>& env = ztunnel.launch.env;
  env = BaseEnv();
  const std::string controller = "https://" + ControllerAddress();
  for (const auto& [name, value] : std::initializer_list<std::pair<const char*, std::string>>{
           {"NODE_NAME", node.name},
           {"POD_NAME", "ztunnel-" + node.name},
           {"POD_NAMESPACE", "istio-system"},
           {"SERVICE_ACCOUNT", "ztunnel"},
           {"INSTANCE_IP", NodeIp(node.index, 4)},
           {"CLUSTER_ID", "Kubernetes"},
           {"XDS_ADDRESS", controller},
           {"CA_ADDRESS", controller},
           {"XDS_ROOT_CA", layout.root_cert()},
           {"CA_ROOT_CA", layout.root_cert()},
           {"ALT_XDS_HOSTNAME", "istiod.istio-system.svc"},
           {"ALT_CA_HOSTNAME", "istiod.istio-system.svc"},
           {"AUTH_TOKEN", dir + "/token"},
           {"INPOD_UDS", dir + "/zds.sock"},
           {"MESH_STATE_CACHE", dir + "/configuration"},
           {"IPV6_ENABLED", host_.config.ipv6 ? "true" : "false"},
           {"RUST_LOG", "info"}}) {
    SetDefault(env, name, value);
  }
  ztunnel.launch.netns = netns;
  ztunnel.launch.cgroup = host_.cgroup.ztunnel(node.name);
  ztunnel.needs = layout.root_cert();
}

absl::Status Supervisor::Prepare() {
  RETURN_IF_ERROR(MakeDirs(host_.layout.pki() + "/ca", 0700));
  RETURN_IF_ERROR(MakeDirs(host_.cgroup.controller()));
  RETURN_IF_ERROR(MakeDirs(host_.cgroup.name_server()));
  for (const NodeConfig& node : host_.config.nodes) {
    RETURN_IF_ERROR(MakeDirs(host_.layout.node_dir(node.name) + "/state"));
    for (const std::string& group :
         {host_.cgroup.ztunnel(node.name), host_.cgroup.agent(node.name)}) {
      RETURN_IF_ERROR(MakeDirs(group));
    }
  }
  for (Daemon& daemon : daemons_) {
    daemon.launch.log_file = host_.layout.log() + "/" + daemon.name + ".log";
    daemon.launch.workdir = "/";
  }
  return RefreshTokens(absl::Now());
}

absl::Status Supervisor::RefreshTokens(absl::Time now) {
  for (const auto& [node, subject] : subjects_) {
    ASSIGN_OR_RETURN(const std::string token, signer_.Sign(subject, now, kTokenLifetime));
    RETURN_IF_ERROR(WriteFile(host_.layout.node_dir(node) + "/token", token, 0600));
  }
  refresh_at_ = now + kTokenLifetime / 2;
  return absl::OkStatus();
}

void Supervisor::Start(Daemon& daemon, absl::Time now) {
  auto pid = Launch(daemon.launch);
  daemon.since = now;
  ++daemon.restarts;
  if (!pid.ok()) {
    const std::string problem(MessageOf(pid.status()));
    if (problem != daemon.problem)
      Logger("supervisor")->error("cannot start {} err={}", daemon.name, problem);
    daemon.problem = problem;
    daemon.next = now + daemon.backoff;
    daemon.backoff = std::min(daemon.backoff * 2, absl::Seconds(10));
    return;
  }
  daemon.pid = *pid;
  daemon.problem.clear();
  (void)WriteFile(host_.layout.pids() + "/" + daemon.name, std::to_string(daemon.pid) + "\n");
  Logger("supervisor")->info("started {} pid={}", daemon.name, daemon.pid);
  host_.children.Watch(daemon.pid, [&daemon](int code) {
    const absl::Time ended = absl::Now();
    daemon.pid = -1;
    daemon.last_exit = code;
    if (ended - daemon.since > absl::Seconds(20)) daemon.backoff = absl::Milliseconds(200);
    daemon.problem = "exit " + std::to_string(code);
    daemon.next = ended + daemon.backoff;
    daemon.backoff = std::min(daemon.backoff * 2, absl::Seconds(10));
    Logger("supervisor")
        ->warn("{} ended code={} next_start_in={}", daemon.name, code,
               absl::FormatDuration(daemon.next - ended));
  });
}

void Supervisor::Tick(absl::Time now) {
  if (now >= refresh_at_) {
    const absl::Status status = RefreshTokens(now);
    if (!status.ok()) {
      Logger("supervisor")->error("node tokens cannot be refreshed err={}", MessageOf(status));
      refresh_at_ = now + absl::Minutes(1);
    }
  }
  for (Daemon& daemon : daemons_) {
    if (daemon.pid > 0 || now < daemon.next) continue;
    if (!daemon.needs.empty() && !Exists(daemon.needs)) {
      daemon.problem = "waits for " + daemon.needs;
      continue;
    }
    Start(daemon, now);
  }
}

bool Supervisor::all_running() const {
  return std::all_of(daemons_.begin(), daemons_.end(),
                     [](const Daemon& daemon) { return daemon.pid > 0; });
}

Json Supervisor::Status() const {
  Json list(Json::Array{});
  for (const Daemon& daemon : daemons_) {
    Json item = Json::Obj({{"name", daemon.name},
                           {"state", daemon.pid > 0 ? "running" : "waiting"},
                           {"restarts", std::max(0, daemon.restarts)}});
    if (daemon.pid > 0) item["pid"] = daemon.pid;
    if (daemon.restarts >= 0)
      item["since"] = absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", daemon.since, absl::UTCTimeZone());
    if (daemon.last_exit) item["lastExit"] = *daemon.last_exit;
    if (!daemon.problem.empty()) item["reason"] = daemon.problem;
    list.Push(std::move(item));
  }
  return list;
}

}  // namespace mesh::local
