#include "tools/meshctl/local/teardown.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>

#include "tools/meshctl/local/cgroup.h"
#include "tools/meshctl/local/files.h"
#include "tools/meshctl/local/network.h"
#include "tools/meshctl/local/process.h"
#include "ztunnel/base/files.h"
#include "ztunnel/base/status.h"
#include "ztunnel/base/unique_fd.h"

namespace mesh::local {
namespace {

constexpr const char* kBpfRoot = "/sys/fs/bpf/mesh";

// Programs and links pinned by the node agents; each agent knows best how to undo its own.
void CleanBpf(const Layout& layout, const Config& config, TeardownReport& report) {
  for (const NodeConfig& node : config.nodes) {
    const std::string dir = layout.bpf_dir(node.name);
    if (!Exists(dir)) continue;
    const std::string agent = config.bin_dir + "/mesh-agent";
    if (Exists(agent)) {
      const auto result =
          RunCommand({agent, "node", "--cleanup", "--node-name", node.name, "--bpf-dir", dir,
                      "--state-dir", layout.node_dir(node.name) + "/state", "--zds-socket",
                      layout.node_dir(node.name) + "/zds.sock", "--cni-socket",
                      layout.node_dir(node.name) + "/cni.sock", "--admin-socket",
                      layout.agent_socket(node.name)});
      if (!result.ok()) report.problems.emplace_back(MessageOf(result.status()));
    }
    // Removing the pins detaches what they held.
    const absl::Status removed = RemoveTree(dir);
    if (!removed.ok()) report.problems.emplace_back(MessageOf(removed));
    ++report.nodes;
  }
  ::rmdir(kBpfRoot);  // only when no mesh is left in it
}

}  // namespace

int RuntimePid(const Layout& layout) {
  // The lock tells: a process id may have been given to somebody else.
  UniqueFd lock(::open((layout.root() + "/run.lock").c_str(), O_RDWR | O_CLOEXEC));
  if (!lock) return -1;
  if (::flock(lock.get(), LOCK_EX | LOCK_NB) == 0) return -1;
  const int pid = std::atoi(ReadFileOr(layout.root() + "/run.pid").c_str());
  return ProcessAlive(pid) ? pid : -1;
}

TeardownReport Teardown(const Layout& layout, bool keep_files) {
  TeardownReport report;
  auto config = Config::Load(layout);
  if (!config.ok()) config = Config();
  const auto cgroup = MeshCgroup::Find(layout.name);

  if (const int pid = RuntimePid(layout); pid > 0 && pid != ::getpid()) {
    ::kill(pid,
           SIGKILL);  // it must not start again what we end, and keeps nothing that has to be saved
    for (int i = 0; i < 100 && RuntimePid(layout) > 0; ++i) ::usleep(10'000);
    ++report.processes;
  }
  if (cgroup.ok() && Exists(cgroup->base)) {
    const auto pids = CgroupPids(cgroup->base);
    report.processes += static_cast<int>(
        std::count_if(pids.begin(), pids.end(), [](int pid) { return pid != ::getpid(); }));
    for (const std::string& group : ListDir(cgroup->base)) {
      const std::string path = cgroup->base + "/" + group;
      if (group == "runtime" && keep_files) continue;
      if (Exists(path + "/cgroup.procs")) KillCgroup(path);
    }
  }
  CleanBpf(layout, *config, report);
  report.namespaces = Network(layout, *config).RemoveAll();
  if (cgroup.ok() && Exists(cgroup->base)) {
    for (const std::string& group : ListDir(cgroup->base)) {
      const std::string path = cgroup->base + "/" + group;
      if ((group == "runtime" && keep_files) || !Exists(path + "/cgroup.procs")) continue;
      const absl::Status removed = RemoveCgroup(path);
      if (!removed.ok()) report.problems.emplace_back(MessageOf(removed));
    }
    if (!keep_files) {
      const absl::Status removed = RemoveCgroup(cgroup->base);
      if (!removed.ok()) report.problems.emplace_back(MessageOf(removed));
    }
  }
  report.nothing = !Exists(layout.root()) && report.processes == 0 && report.namespaces == 0 &&
                   report.nodes == 0;
  std::vector<std::string> gone;
  if (keep_files) {
    for (const char* part : {"/pods", "/nodes", "/pids"}) gone.push_back(layout.run() + part);
    gone.push_back(layout.root() + "/nodes");
    for (const std::string& file : ListDir(layout.patch())) {
      if (!file.starts_with("services_")) gone.push_back(layout.patch() + "/" + file);
    }
  } else {
    gone.push_back(layout.root());
  }
  for (const std::string& path : gone) {
    const absl::Status removed = RemoveTree(path);
    if (!removed.ok()) report.problems.emplace_back(MessageOf(removed));
  }
  if (!keep_files) ::rmdir(Layout::kRoot);
  return report;
}

}  // namespace mesh::local
