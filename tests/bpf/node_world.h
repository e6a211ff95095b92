// A small node for tests of capture: a node namespace with a bridge, two pods and a stranger on it,
// a cgroup tree, a source directory, the real agent, and a stand-in for ztunnel.
//
// Names carry the process id. The destructor takes everything down.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace mesh::test {

struct Place {
  std::string netns;   // path
  std::string cgroup;  // path
};

// Runs `fn` in a child in that place and returns what it returned (at most 64 KiB).
std::string RunIn(const Place& place, const std::function<std::string()>& fn);
// The same, in the background: until killed.
int SpawnIn(const Place& place, const std::function<void()>& fn);
void Kill(int& pid, int signal);

class NodeWorld {
 public:
  NodeWorld();
  ~NodeWorld();
  NodeWorld(const NodeWorld&) = delete;
  NodeWorld& operator=(const NodeWorld&) = delete;

  const std::string& problem() const { return problem_; }

  Place Pod(const std::string& name) const;  // "client", "server", "stranger"
  Place Prober() const;                      // the node's namespace, the kubelet's cgroup
  static std::string Ip(const std::string& pod, int family);
  static std::string Uid(const std::string& pod) { return "uid-" + pod; }

  void StartAgent();
  void StopAgent(int signal);
  int Cleanup();  // exit code of --cleanup
  void StartDaemon();
  void StopDaemon(int signal);
  bool daemon_running() const { return daemon_ > 0; }

  void WriteManifest(const std::string& file, const std::string& yaml);
  void RemoveManifest(const std::string& file);
  void WritePod(const std::string& name, const std::string& labels);
  // The answer's first line. `netns`: of another sandbox than the pod's own.
  std::string CniAdd(const std::string& pod, const std::string& netns = "") const;
  std::string Admin(const std::string& path) const;  // body
  // Waits until GET /status shows the pod in that state.
  bool WaitState(const std::string& pod, const std::string& state) const;
  uint64_t Counter(const std::string& metric, const std::string& label) const;

  std::string bpf_dir() const { return "/sys/fs/bpf/" + name_; }
  std::string dir() const { return dir_; }

 private:
  int StartAgentProcess(bool cleanup);

  std::string name_;
  std::string dir_;
  std::string cgroup_;
  std::string problem_;
  int agent_ = -1;
  int daemon_ = -1;
};

}  // namespace mesh::test
