// meshctl local up, down.
#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <filesystem>

#include "tools/meshctl/commands/health.h"
#include "tools/meshctl/commands/manifests.h"
#include "tools/meshctl/context.h"
#include "tools/meshctl/json.h"
#include "tools/meshctl/local/files.h"
#include "tools/meshctl/local/process.h"
#include "tools/meshctl/local/store.h"
#include "tools/meshctl/local/teardown.h"
#include "tools/meshctl/output.h"
#include "ztunnel/base/files.h"
#include "ztunnel/base/status.h"

namespace mesh::meshctl {
namespace {

using local::Config;
using local::Layout;

std::atomic<bool> interrupted = false;

constexpr int kInterrupted = 130;

void OnInterrupt(int) { interrupted = true; }

// From the Node objects of the manifests, else node-1 to node-N.
std::vector<local::NodeConfig> ChooseNodes(const UpOptions& options,
                                           const std::vector<std::string>& dirs) {
  std::vector<local::NodeConfig> nodes;
  if (options.nodes == 0) {
    local::ObjectStore store(dirs);
    store.Reload();
    for (const Json* node : store.OfKind("Node")) {
      nodes.push_back({node->Get({"metadata", "name"}).Str(), static_cast<int>(nodes.size()) + 1});
    }
  }
  const int count = options.nodes == 0 ? 2 : options.nodes;
  if (nodes.empty()) {
    for (int i = 1; i <= count; ++i) nodes.push_back({fmt::format("node-{}", i), i});
  }
  return nodes;
}

absl::Status CheckPrograms(const Config& config) {
  std::vector<std::string> needed;
  if (config.mesh) needed = {"mesh-agent", "ztunnel"};
  for (const std::string& program : needed) {
    if (local::Exists(config.bin_dir + "/" + program)) continue;
    return NotFound("{}/{} is not there: build it, name another --bin-dir, or use --no-mesh",
                    config.bin_dir, program);
  }
  if (local::FindProgram("ip", "/usr/sbin:/usr/bin:/sbin:/bin").empty()) {
    return NotFound("program ip is not there: install iproute2");
  }
  return absl::OkStatus();
}

// The process id of the runtime.
absl::StatusOr<int> StartRuntime(const Layout& layout) {
  RETURN_IF_ERROR(local::MakeDirs(layout.log()));
  local::LaunchSpec spec;
  spec.argv = {local::SelfPath(), "--name", layout.name, "local", "run"};
  for (char** entry = environ; *entry; ++entry) spec.env.emplace_back(*entry);
  spec.workdir = "/";
  spec.log_file = layout.log() + "/runtime.log";
  return local::Launch(spec);
}

// What is still missing, one line; empty when all is up.
std::string Missing(const Layout& layout, const Config& config) {
  const auto state = Json::Parse(ReadFileOr(layout.state_file(), "null"));
  if (!state.ok() || state->IsNull()) return "the runtime is building the network";
  if (state->Has("error")) return "error: " + state->At("error").Str();
  for (const Json& daemon : state->At("daemons").Items()) {
    if (daemon.At("state").Str() != "running") {
      return fmt::format("{} is not running ({})", daemon.At("name").Str(),
                         daemon.At("reason").Str("starting"));
    }
  }
  if (!config.mesh) return "";
  for (const local::NodeConfig& node : config.nodes) {
    const auto agent = AgentStatus(layout, node.name);
    if (!agent.ok()) return fmt::format("agent-{}: {}", node.name, MessageOf(agent.status()));
    const absl::Status ready = ZtunnelReady(layout, node.name);
    if (!ready.ok()) return fmt::format("ztunnel-{}: {}", node.name, MessageOf(ready));
  }
  return "";
}

int AwaitReady(const Context& context, const Config& config, absl::Duration timeout) {
  const absl::Time deadline = absl::Now() + timeout;
  std::string missing;
  while (!interrupted) {
    missing = Missing(context.layout, config);
    if (missing.empty()) return kOk;
    const bool dead =
        local::RuntimePid(context.layout) < 0 && local::Exists(context.layout.state_file());
    if (missing.starts_with("error: ") || dead) {
      PrintErr(fmt::format("meshctl: {} (log: {}/runtime.log)", missing, context.layout.log()));
      return kFailed;
    }
    if (absl::Now() > deadline) {
      PrintErr(fmt::format("meshctl: not ready after {}: {}\nIt goes on trying; logs are in {}",
                           absl::FormatDuration(timeout), missing, context.layout.log()));
      return kFailed;
    }
    ::usleep(50'000);
  }
  return kInterrupted;
}

// A mesh that this `up` began (`runtime` is its process, else -1) is taken away again; one that was
// there before, with what was applied to it, stays.
int Interrupted(const Layout& layout, int runtime) {
  if (runtime < 0) {
    PrintErr("meshctl: interrupted; the mesh goes on starting, `meshctl local down` removes it");
    return kInterrupted;
  }
  // It may not have taken its lock yet, by which the teardown would find it.
  ::kill(runtime, SIGKILL);
  ::waitpid(runtime, nullptr, 0);
  const local::TeardownReport report = local::Teardown(layout, /*keep_files=*/false);
  for (const std::string& problem : report.problems) PrintErr("meshctl: " + problem);
  PrintErr("meshctl: interrupted; what was begun is removed again");
  return kInterrupted;
}

}  // namespace

int Up(const Context& context, const UpOptions& options) {
  const Layout& layout = context.layout;
  if (::geteuid() != 0) {
    PrintErr(
        "meshctl: local up makes network namespaces and loads programs into the kernel: run it as "
        "root");
    return kFailed;
  }
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) ::signal(signal, OnInterrupt);
  std::vector<std::string> manifest_dirs;
  for (const std::string& dir : options.manifest_dirs) {
    if (!std::filesystem::is_directory(dir)) {
      PrintErr(fmt::format("meshctl: --manifests {}: no such folder", dir));
      return kUsage;
    }
    manifest_dirs.push_back(std::filesystem::canonical(dir).string());
  }
  if (local::RuntimePid(layout) > 0) {
    Config config;
    if (!context.Load(config)) return kFailed;
    if (options.nodes != 0 && options.nodes != static_cast<int>(config.nodes.size())) {
      PrintErr(fmt::format("meshctl: mesh \"{}\" runs with {} nodes; take it down to change that",
                           layout.name, config.nodes.size()));
      return kFailed;
    }
    if (!manifest_dirs.empty() && manifest_dirs != config.manifest_dirs) {
      PrintErr(
          fmt::format("meshctl: mesh \"{}\" runs with other --manifests; take it down to change "
                      "that, or apply the files",
                      layout.name));
      return kFailed;
    }
    if (!options.files.empty() && Apply(context, options.files) != kOk) return kFailed;
    const int code = options.wait ? AwaitReady(context, config, options.timeout) : kOk;
    if (code == kInterrupted) return Interrupted(layout, -1);
    if (code == kOk)
      Print(fmt::format("mesh \"{}\" is running already ({} nodes)\n", layout.name,
                        config.nodes.size()));
    return code;
  }

  Config config;
  config.ipv6 = options.ipv6;
  config.mesh = options.mesh;
  config.bin_dir = options.bin_dir.empty() ? local::SelfDir()
                                           : std::filesystem::absolute(options.bin_dir).string();
  // A mesh whose runtime was killed is built again as it was.
  const auto before = Config::Load(layout);
  if (before.ok()) config.manifest_dirs = before->manifest_dirs;
  if (!manifest_dirs.empty()) config.manifest_dirs = manifest_dirs;
  absl::Status status = CheckPrograms(config);
  if (status.ok()) status = local::MakeDirs(layout.manifests());
  if (status.ok()) status = config.Save(layout);  // so that Apply finds the mesh
  bool manifests_ok = true;
  int runtime = -1;
  if (status.ok() && !options.files.empty()) manifests_ok = Apply(context, options.files) == kOk;
  if (status.ok()) {
    std::vector<std::string> dirs = config.manifest_dirs;
    dirs.push_back(layout.manifests());
    config.nodes = before.ok() && !before->nodes.empty() && options.nodes == 0
                       ? before->nodes
                       : ChooseNodes(options, dirs);
    if (config.nodes.size() > 100) status = Invalid("{} nodes: 100 at most", config.nodes.size());
  }
  if (status.ok()) status = config.Save(layout);
  if (status.ok()) {
    ::unlink(layout.state_file().c_str());
    const auto started = StartRuntime(layout);
    status = started.status();
    if (started.ok()) runtime = *started;
  }
  if (!status.ok()) {
    PrintErr(fmt::format("meshctl: {}", MessageOf(status)));
    if (!before.ok()) (void)local::Teardown(layout, /*keep_files=*/false);
    return kFailed;
  }
  const int code = options.wait ? AwaitReady(context, config, options.timeout) : kOk;
  if (code == kInterrupted) return Interrupted(layout, before.ok() ? -1 : runtime);
  if (code != kOk) return code;
  std::string names;
  for (const local::NodeConfig& node : config.nodes) names += " " + node.name;
  Print(fmt::format("mesh \"{}\" is up: nodes{}{}\n", layout.name, names,
                    config.mesh ? "" : " (plain networking, no mesh)"));
  Print(fmt::format("manifests: {}   logs: {}\n", layout.manifests(), layout.log()));
  return manifests_ok ? kOk : kFailed;
}

int Down(const Context& context) {
  if (::geteuid() != 0) {
    PrintErr("meshctl: local down needs root");
    return kFailed;
  }
  ::signal(SIGINT, SIG_IGN);  // half a teardown helps nobody; it takes a second or two
  const local::TeardownReport report = local::Teardown(context.layout, /*keep_files=*/false);
  for (const std::string& problem : report.problems) PrintErr("meshctl: " + problem);
  if (report.nothing) {
    Print(fmt::format("mesh \"{}\": nothing to take down\n", context.layout.name));
    return kOk;
  }
  Print(fmt::format(
      "mesh \"{}\" is down: {} processes, {} network namespaces, programs of {} nodes removed\n",
      context.layout.name, report.processes, report.namespaces, report.nodes));
  return report.problems.empty() ? kOk : kFailed;
}

}  // namespace mesh::meshctl
