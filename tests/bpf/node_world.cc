#include "tests/bpf/node_world.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "agent/node/node.h"
#include "tests/bpf/standin.h"
#include "ztunnel/base/cgroup2.h"
#include "ztunnel/base/log.h"
#include "ztunnel/base/unique_fd.h"

namespace mesh::test {
namespace {

namespace fs = std::filesystem;

constexpr const char* kPods[] = {"client", "server", "stranger"};

int NumberOf(const std::string& pod) {
  for (int i = 0; i < 3; ++i) {
    if (pod == kPods[i]) return i + 2;
  }
  return 1;
}

bool Shell(const std::string& command) { return ::system((command + " 2>&1").c_str()) == 0; }

void Enter(const Place& place) {
  std::ofstream(place.cgroup + "/cgroup.procs") << ::getpid();
  UniqueFd fd(::open(place.netns.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd || ::setns(fd.get(), CLONE_NEWNET) != 0) ::_exit(111);
}

std::string Http(const std::string& socket, const std::string& request) {
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, socket.c_str(), sizeof(address.sun_path) - 1);
  if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) return "";
  if (::send(fd.get(), request.data(), request.size(), MSG_NOSIGNAL) < 0) return "";
  std::string answer;
  char buffer[8192];
  for (ssize_t n; (n = ::recv(fd.get(), buffer, sizeof(buffer), 0)) > 0;) {
    answer.append(buffer, static_cast<size_t>(n));
  }
  return answer;
}

}  // namespace

std::string RunIn(const Place& place, const std::function<std::string()>& fn) {
  int fds[2];
  if (::pipe2(fds, O_CLOEXEC) != 0) return "no pipe";
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::alarm(20);
    Enter(place);
    const std::string out = fn();
    [[maybe_unused]] const ssize_t n = ::write(fds[1], out.data(), out.size());
    ::_exit(0);
  }
  ::close(fds[1]);
  std::string out;
  char buffer[4096];
  for (ssize_t n; (n = ::read(fds[0], buffer, sizeof(buffer))) > 0;)
    out.append(buffer, static_cast<size_t>(n));
  ::close(fds[0]);
  int status = 0;
  ::waitpid(pid, &status, 0);
  return status == 0 ? out : "child ended with " + std::to_string(status);
}

int SpawnIn(const Place& place, const std::function<void()>& fn) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    Enter(place);
    fn();
    ::_exit(0);
  }
  return pid;
}

void Kill(int& pid, int signal) {
  if (pid <= 0) return;
  ::kill(pid, signal);
  int status;
  ::waitpid(pid, &status, 0);
  pid = -1;
}

NodeWorld::NodeWorld() : name_("mesh-bpftest-" + std::to_string(::getpid())) {
  char dir[] = "/tmp/mesh-bpftest-XXXXXX";
  dir_ = ::mkdtemp(dir);
  fs::create_directories(dir_ + "/manifests");
  fs::create_directories(dir_ + "/patch");
  const auto mount = FindCgroup2();
  if (!mount.ok()) {
    problem_ = mount.status().ToString();
    return;
  }
  cgroup_ = mount->path + "/" + name_;
  for (const char* sub : {"/node/pods/client", "/node/pods/server", "/node/pods/stranger",
                          "/node/system/ztunnel", "/node/system/agent", "/node/kubelet"}) {
    fs::create_directories(cgroup_ + sub);
  }
  const std::string node = name_ + "-node";
  const std::string n = "ip -n " + node + " ";
  bool ok = Shell("ip netns add " + node) && Shell(n + "link set lo up") &&
            Shell(n + "link add br0 type bridge") && Shell(n + "link set br0 up") &&
            Shell(n + "addr add 10.244.9.1/24 dev br0") &&
            Shell(n + "addr add fd00:10:244:9::1/64 dev br0 nodad") &&
            Shell("ip netns exec " + node + " sysctl -qw net.ipv4.ip_forward=1");
  for (const std::string pod : kPods) {
    const std::string ns = name_ + "-" + pod, p = "ip -n " + ns + " ";
    ok = ok && Shell("ip netns add " + ns) && Shell(p + "link set lo up") &&
         Shell(n + "link add v" + pod + " type veth peer name eth0 netns " + ns) &&
         Shell(n + "link set v" + pod + " master br0 up") && Shell(p + "link set eth0 up") &&
         Shell(p + "addr add " + Ip(pod, 4) + "/24 dev eth0") &&
         Shell(p + "addr add " + Ip(pod, 6) + "/64 dev eth0 nodad") &&
         Shell(p + "route add default via 10.244.9.1") &&
         Shell(p + "-6 route add default via fd00:10:244:9::1");
  }
  if (!ok) problem_ = "the namespaces could not be made";
}

NodeWorld::~NodeWorld() {
  StopDaemon(SIGKILL);
  StopAgent(SIGKILL);
  if (!cgroup_.empty()) {
    Cleanup();
    for (const char* pod : kPods) Shell("ip netns del " + name_ + "-" + pod);
    Shell("ip netns del " + name_ + "-node");
    std::ofstream(cgroup_ + "/cgroup.kill") << 1;
    ::usleep(50'000);
    Shell("find " + cgroup_ + " -depth -type d -exec rmdir {} \\;");
  }
  fs::remove_all(dir_);
}

std::string NodeWorld::Ip(const std::string& pod, int family) {
  const std::string last = std::to_string(NumberOf(pod));
  return (family == 4 ? "10.244.9." : "fd00:10:244:9::") + last;
}

Place NodeWorld::Pod(const std::string& name) const {
  return {.netns = "/run/netns/" + name_ + "-" + name, .cgroup = cgroup_ + "/node/pods/" + name};
}

Place NodeWorld::Prober() const {
  return {.netns = "/run/netns/" + name_ + "-node", .cgroup = cgroup_ + "/node/kubelet"};
}

int NodeWorld::StartAgentProcess(bool cleanup) {
  node::NodeOptions options;
  options.node_name = "node-9";
  options.source_dirs = {dir_ + "/manifests", dir_ + "/patch"};
  options.runtime_dir = dir_ + "/manifests";
  options.patch_dir = dir_ + "/patch";
  options.cgroup = cgroup_ + "/node";
  options.ztunnel_cgroup = cgroup_ + "/node/system/ztunnel";
  options.prober_cgroup = cgroup_ + "/node/kubelet";
  options.bpf_dir = bpf_dir();
  options.zds_socket = dir_ + "/zds.sock";
  options.cni_socket = dir_ + "/cni.sock";
  options.admin_socket = dir_ + "/agent.sock";
  options.state_dir = dir_ + "/state";
  options.cleanup = cleanup;
  return SpawnIn(
      {.netns = "/run/netns/" + name_ + "-node", .cgroup = cgroup_ + "/node/system/agent"},
      [options] { ::_exit(node::RunNode(options)); });
}

void NodeWorld::StartAgent() {
  agent_ = StartAgentProcess(false);
  for (int i = 0; i < 250 && Admin("/healthz").empty(); ++i) ::usleep(20'000);
}

void NodeWorld::StopAgent(int signal) { Kill(agent_, signal); }

int NodeWorld::Cleanup() {
  int status = -1;
  ::waitpid(StartAgentProcess(true), &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

void NodeWorld::StartDaemon() {
  daemon_ = SpawnIn(
      {.netns = "/run/netns/" + name_ + "-node", .cgroup = cgroup_ + "/node/system/ztunnel"},
      [socket = dir_ + "/zds.sock"] { RunStandin(socket); });
}

void NodeWorld::StopDaemon(int signal) { Kill(daemon_, signal); }

void NodeWorld::WriteManifest(const std::string& file, const std::string& yaml) {
  const std::string path = dir_ + "/manifests/" + file, temporary = dir_ + "/manifests/." + file;
  std::ofstream(temporary) << yaml;
  fs::rename(temporary, path);
}

void NodeWorld::RemoveManifest(const std::string& file) { fs::remove(dir_ + "/manifests/" + file); }

void NodeWorld::WritePod(const std::string& name, const std::string& labels) {
  const std::string ns = name == "stranger" ? "outside" : "shop";
  WriteManifest(name + ".yaml",
                "apiVersion: v1\nkind: Pod\nmetadata:\n  name: " + name + "\n  namespace: " + ns +
                    "\n  uid: " + Uid(name) + "\n  labels: {" + labels +
                    "}\n  annotations: {local.mesh/netns: " + Pod(name).netns +
                    "}\nspec:\n  nodeName: node-9\n  containers: [{name: app, image: x}]\n"
                    "status:\n  phase: Running\n  podIP: " +
                    Ip(name, 4) + "\n  podIPs: [{ip: \"" + Ip(name, 4) + "\"}, {ip: \"" +
                    Ip(name, 6) + "\"}]\n");
}

std::string NodeWorld::CniAdd(const std::string& pod, const std::string& netns) const {
  const std::string body = R"({"Netns":")" + (netns.empty() ? Pod(pod).netns : netns) +
                           R"(","PodName":")" + pod + R"(","PodNamespace":")" +
                           (pod == "stranger" ? "outside" : "shop") +
                           R"(","IPs":[{"Address":{"IP":")" + Ip(pod, 4) + R"("}}]})";
  const std::string answer =
      Http(dir_ + "/cni.sock",
           "POST /cmdadd HTTP/1.1\r\nHost: cni\r\nConnection: close\r\nContent-Length: " +
               std::to_string(body.size()) + "\r\n\r\n" + body);
  return answer.substr(0, answer.find('\r'));
}

std::string NodeWorld::Admin(const std::string& path) const {
  const std::string answer =
      Http(dir_ + "/agent.sock",
           "GET " + path + " HTTP/1.1\r\nHost: agent\r\nConnection: close\r\n\r\n");
  const size_t body = answer.find("\r\n\r\n");
  return body == std::string::npos ? "" : answer.substr(body + 4);
}

bool NodeWorld::WaitState(const std::string& pod, const std::string& state) const {
  for (int i = 0; i < 500; ++i) {
    const std::string status = Admin("/status");
    // Members of an object come sorted by name: "name" ... "state" of the same pod.
    const size_t at = status.find("\"name\": \"" + pod + "\"");
    if (at != std::string::npos) {
      const size_t found = status.find("\"state\": \"", at);
      if (found != std::string::npos &&
          status.compare(found + 10, state.size() + 1, state + "\"") == 0)
        return true;
    }
    ::usleep(20'000);
  }
  return false;
}

uint64_t NodeWorld::Counter(const std::string& metric, const std::string& label) const {
  const std::string page = Admin("/metrics");
  const size_t at = page.find(metric + "{" + label + "} ");
  if (at == std::string::npos) return 0;
  return std::strtoull(page.c_str() + at + metric.size() + label.size() + 3, nullptr, 10);
}

}  // namespace mesh::test
