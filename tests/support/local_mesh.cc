#include "tests/support/local_mesh.h"

#include <dirent.h>
#include <unistd.h>

#include <climits>
#include <cstdlib>
#include <sstream>
#include <thread>

#include "ztunnel/base/files.h"

namespace mesh::test {
namespace {

// Binaries stand in bin/ beside the tests/ folder that this test was built into.
std::string BinDir() {
  char path[PATH_MAX];
  const ssize_t n = ::readlink("/proc/self/exe", path, sizeof(path));
  const std::string self(path, n > 0 ? n : 0);
  const std::string tests = self.substr(0, self.rfind('/'));
  return tests.substr(0, tests.rfind('/')) + "/bin";
}

std::pair<std::string, std::string> SplitPod(std::string_view pod) {
  const size_t slash = pod.find('/');
  return {std::string(pod.substr(0, slash)), std::string(pod.substr(slash + 1))};
}

// The first value of "key": in a JSON text of one object; enough for flat status lines.
std::string JsonString(std::string_view json, std::string_view key) {
  const std::string needle = "\"" + std::string(key) + "\"";
  size_t at = json.find(needle);
  if (at == std::string_view::npos) return "";
  at = json.find_first_not_of(": \t\n", at + needle.size());
  if (at == std::string_view::npos) return "";
  if (json[at] == '"') return std::string(json.substr(at + 1, json.find('"', at + 1) - at - 1));
  return std::string(json.substr(at, json.find_first_of(",}\n", at) - at));
}

}  // namespace

LocalMesh::LocalMesh(std::string_view what, Options options)
    : name_(std::string(what) + "-" + std::to_string(::getpid())) {
  std::vector<std::string> words = {"local", "up", "--nodes", std::to_string(options.nodes)};
  words.insert(words.end(), options.up_flags.begin(), options.up_flags.end());
  const Outcome up = Meshctl(words, "", std::chrono::seconds(90));
  if (up.code != 0)
    problem_ = "meshctl local up: exit " + std::to_string(up.code) + "\n" + up.out + up.err;
}

LocalMesh::~LocalMesh() {
  if (std::getenv("MESH_TEST_KEEP")) return;
  Meshctl({"local", "down"});
}

Outcome LocalMesh::Meshctl(std::vector<std::string> words, const std::string& input,
                           std::chrono::seconds limit) const {
  std::vector<std::string> argv = {BinDir() + "/meshctl", "--name", name_};
  argv.insert(argv.end(), words.begin(), words.end());
  return RunCommand(argv, limit, input);
}

Outcome LocalMesh::Apply(const std::string& yaml) const {
  return Meshctl({"local", "apply", "-f", "-"}, yaml);
}

Outcome LocalMesh::Delete(const std::string& yaml) const {
  return Meshctl({"local", "delete", "-f", "-"}, yaml);
}

std::vector<std::string> LocalMesh::ExecWords(std::string_view pod,
                                              std::vector<std::string> argv) const {
  const auto [ns, name] = SplitPod(pod);
  std::vector<std::string> words = {
      BinDir() + "/meshctl", "--name", name_, "local", "exec", "-n", ns, name, "--"};
  words.insert(words.end(), argv.begin(), argv.end());
  return words;
}

Outcome LocalMesh::Exec(std::string_view pod, std::vector<std::string> argv,
                        std::chrono::seconds limit) const {
  return RunCommand(ExecWords(pod, std::move(argv)), limit);
}

bool LocalMesh::WaitReady(const std::vector<std::string>& pods) const {
  return Eventually(
      [&] {
        for (const std::string& pod : pods) {
          const auto [ns, name] = SplitPod(pod);
          const Outcome got = Meshctl({"local", "get", "Pod", name, "-n", ns, "-o", "json"});
          if (got.code != 0 || JsonString(got.out, "phase") != "Running") return false;
          if (got.out.find("\"Ready\"") == std::string::npos) return false;
        }
        return true;
      },
      std::chrono::seconds(30));
}

std::string LocalMesh::ZtunnelLog(std::string_view node) const {
  return ReadFileOr(root() + "/log/ztunnel-" + std::string(node) + ".log");
}

std::string LocalMesh::NodeNetnsPath(std::string_view node) const {
  return "/run/netns/mesh-" + name_ + "-" + std::string(node);
}

std::string LocalMesh::Metrics(std::string_view node) const {
  return RunCommand({"nsenter", "--net=" + NodeNetnsPath(node), "curl", "-s", "-m", "5",
                     "http://127.0.0.1:15020/metrics"})
      .out;
}

std::string LocalMesh::PodIp(std::string_view pod, int family) const {
  const auto [ns, name] = SplitPod(pod);
  const std::string json = Meshctl({"local", "get", "Pod", name, "-n", ns, "-o", "json"}).out;
  const size_t start = json.find("\"podIPs\"");
  if (start == std::string::npos) return "";
  std::string_view rest = std::string_view(json).substr(start);
  rest = rest.substr(0, rest.find(']'));
  while (true) {
    const size_t at = rest.find("\"ip\"");
    if (at == std::string_view::npos) return "";
    const std::string ip = JsonString(rest.substr(at), "ip");
    if ((ip.find(':') != std::string::npos) == (family == 6)) return ip;
    rest = rest.substr(at + 4);
  }
}

int LocalMesh::PidOf(std::string_view process) const {
  const std::string text = ReadFileOr(root() + "/run/pids/" + std::string(process));
  return text.empty() ? -1 : std::atoi(text.c_str());
}

bool Eventually(const std::function<bool()>& condition, std::chrono::seconds limit) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  return true;
}

double MetricSum(std::string_view page, std::string_view metric,
                 const std::vector<std::string>& labels) {
  double sum = 0;
  for (const std::string& line : Lines(page, labels)) {
    if (!line.starts_with(metric)) continue;
    const char after = line[metric.size()];
    if (after != '{' && after != ' ') continue;
    sum += std::atof(line.substr(line.rfind(' ') + 1).c_str());
  }
  return sum;
}

std::vector<std::string> Lines(std::string_view log, const std::vector<std::string>& parts) {
  std::vector<std::string> found;
  std::istringstream stream{std::string(log)};
  for (std::string line; std::getline(stream, line);) {
    bool all = true;
    for (const std::string& part : parts) all = all && line.find(part) != std::string::npos;
    if (all) found.push_back(line);
  }
  return found;
}

}  // namespace mesh::test
