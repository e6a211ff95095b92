// meshctl local ps, exec, logs.
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>

#include "tools/meshctl/commands/manifests.h"
#include "tools/meshctl/context.h"
#include "tools/meshctl/json.h"
#include "tools/meshctl/local/cgroup.h"
#include "tools/meshctl/local/files.h"
#include "tools/meshctl/local/pod_env.h"
#include "tools/meshctl/local/process.h"
#include "tools/meshctl/output.h"
#include "ztunnel/base/files.h"
#include "ztunnel/base/status.h"
#include "ztunnel/base/unique_fd.h"

namespace mesh::meshctl {
namespace {

std::string WorkloadOf(const Json& pod) {
  const Json& owners = pod.Get({"metadata", "ownerReferences"});
  if (owners.Items().empty()) return "";
  const std::string name = owners.Items()[0].At("name").Str();
  const std::string hash = pod.Get({"metadata", "labels", "pod-template-hash"}).Str();
  return !hash.empty() && name.ends_with("-" + hash) ? name.substr(0, name.size() - hash.size() - 1)
                                                     : name;
}

int Restarts(const Json& pod) {
  int sum = 0;
  for (const Json& container : pod.Get({"status", "containerStatuses"}).Items())
    sum += container.At("restartCount").Int();
  return sum;
}

// "1/2": containers that are ready.
std::string ReadyText(const Json& pod) {
  int ready = 0;
  for (const Json& container : pod.Get({"status", "containerStatuses"}).Items())
    ready += container.At("ready").Bool();
  return fmt::format("{}/{}", ready, pod.Get({"spec", "containers"}).Items().size());
}

// The pods of a name, else those of the workload of that name; in all namespaces when `ns` is
// empty.
std::vector<const Json*> PodsNamed(const local::ObjectStore& store, const std::string& ns,
                                   const std::string& name) {
  std::vector<const Json*> exact, of_workload;
  for (const Json* pod : store.OfKind("Pod")) {
    const Json& meta = pod->At("metadata");
    if (!ns.empty() && meta.At("namespace").Str() != ns) continue;
    if (meta.At("name").Str() == name) exact.push_back(pod);
    if (WorkloadOf(*pod) == name) of_workload.push_back(pod);
  }
  return exact.empty() ? of_workload : exact;
}

// The container meant, the first without a name.
absl::StatusOr<const Json*> FindContainer(const Json& pod, const std::string& name) {
  std::string names;
  for (const Json& item : pod.Get({"spec", "containers"}).Items()) {
    if (name.empty() || item.At("name").Str() == name) return &item;
    names += (names.empty() ? "" : ", ") + item.At("name").Str();
  }
  return NotFound("pod {} has no container \"{}\"; it has: {}", pod.Get({"metadata", "name"}).Str(),
                  name, names);
}

int Refuse(const absl::Status& status) {
  PrintErr(fmt::format("meshctl: {}", MessageOf(status)));
  return kFailed;
}

// Prints a file from `offset`; the new offset.
off_t CopyFrom(int fd, off_t offset) {
  char buffer[65536];
  ssize_t n;
  while ((n = ::pread(fd, buffer, sizeof(buffer), offset)) > 0) {
    Print(std::string_view(buffer, n));
    offset += n;
  }
  std::fflush(stdout);
  return offset;
}

off_t TailOffset(const std::string& path, int lines) {
  const std::string text = ReadFileOr(path);
  size_t at = text.size();
  if (at > 0 && text[at - 1] == '\n') --at;
  for (int i = 0; i < lines && at != std::string::npos && at > 0; ++i) {
    at = text.rfind('\n', at - 1);
    if (at == std::string::npos) return 0;
  }
  return at >= text.size() ? static_cast<off_t>(text.size()) : static_cast<off_t>(at + 1);
}

int ShowLog(const std::string& path, const LogsOptions& options) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) {
    PrintErr(fmt::format("meshctl: there is no log {} yet", path));
    return kFailed;
  }
  off_t offset = options.tail < 0 ? 0 : TailOffset(path, options.tail);
  offset = CopyFrom(fd.get(), offset);
  while (options.follow) {
    ::usleep(200'000);
    struct stat info = {};
    if (::fstat(fd.get(), &info) == 0 && info.st_size < offset) offset = 0;  // it was cut
    offset = CopyFrom(fd.get(), offset);
  }
  return kOk;
}

}  // namespace

local::ObjectStore LoadObjects(const local::Layout& layout, const local::Config& config) {
  local::ObjectStore store(config.SourceDirs(layout));
  store.Reload();
  return store;
}

std::string MeshStateOf(const Json& pod) {
  const std::string value =
      pod.Get({"metadata", "annotations", "ambient.istio.io/redirection"}).Str();
  return value == "enabled" ? "enrolled" : value;
}

std::string PodStatusText(const Json& pod) {
  if (pod.Get({"metadata"}).Has("deletionTimestamp")) return "Terminating";
  const Json& status = pod.At("status");
  for (const Json& container : status.At("containerStatuses").Items()) {
    const std::string reason = container.Get({"state", "waiting", "reason"}).Str();
    if (!reason.empty()) return reason;
  }
  const std::string phase = status.At("phase").Str("Pending");
  if (phase == "Pending" && status.Has("reason")) return status.At("reason").Str();
  return phase;
}

absl::StatusOr<const Json*> FindPod(const local::ObjectStore& store, const std::string& ns,
                                    const std::string& word) {
  std::vector<const Json*> found = PodsNamed(store, ns, word);
  if (const size_t slash = word.find('/'); slash != std::string::npos) {
    const std::string before = word.substr(0, slash), name = word.substr(slash + 1);
    const std::string kind = local::CanonicalKind(before);
    for (const char* known : {"Pod", "Deployment", "StatefulSet", "ReplicaSet"}) {
      if (kind == known) found = PodsNamed(store, ns, name);
    }
    if (found.empty() && ns.empty()) found = PodsNamed(store, before, name);
  }
  if (const size_t dot = word.rfind('.'); found.empty() && ns.empty() && dot != std::string::npos)
    found = PodsNamed(store, word.substr(dot + 1), word.substr(0, dot));
  if (found.empty()) {
    return NotFound("no pod or workload \"{}\"{}; `meshctl local ps` lists the pods", word,
                    ns.empty() ? "" : " in namespace " + ns);
  }
  for (const Json* pod : found) {
    const std::string first = found[0]->Get({"metadata", "namespace"}).Str(),
                      other = pod->Get({"metadata", "namespace"}).Str();
    if (first == other) continue;
    return Invalid("\"{}\" is in the namespaces {} and {}: say which with -n", word, first, other);
  }
  return found[0];
}

int Ps(const Context& context) {
  local::Config config;
  if (!context.Load(config)) return kNotRunning;
  const local::ObjectStore store = LoadObjects(context.layout, config);
  const bool wide = context.output == Output::kWide;
  std::vector<std::string> head = {"NAMESPACE", "NAME", "READY", "STATUS", "MESH", "NODE", "IP"};
  if (wide) head.insert(head.end(), {"RESTARTS", "AGE", "IPS", "REASON"});
  Table table(head);
  Json list{Json::Array{}};
  for (const Json* pod : store.OfKind("Pod")) {
    const Json& meta = pod->At("metadata");
    const Json& status = pod->At("status");
    if (!context.ns.empty() && meta.At("namespace").Str() != context.ns) continue;
    std::vector<std::string> row = {
        meta.At("namespace").Str(), meta.At("name").Str(), ReadyText(*pod),
        PodStatusText(*pod),        MeshStateOf(*pod),     pod->Get({"spec", "nodeName"}).Str(),
        status.At("podIP").Str()};
    std::string ips;
    for (const Json& ip : status.At("podIPs").Items())
      ips += (ips.empty() ? "" : ",") + ip.At("ip").Str();
    std::string reason = status.At("message").Str();
    for (const Json& container : status.At("containerStatuses").Items()) {
      if (reason.empty()) reason = container.Get({"state", "waiting", "message"}).Str();
    }
    if (context.structured()) {
      Json item = Json::Obj({{"namespace", row[0]},
                             {"name", row[1]},
                             {"ready", row[2]},
                             {"status", row[3]},
                             {"mesh", row[4]},
                             {"node", row[5]},
                             {"ip", row[6]},
                             {"restarts", Restarts(*pod)},
                             {"reason", reason}});
      item["ips"] = status.At("podIPs");
      list.Push(std::move(item));
    }
    if (wide) {
      row.insert(row.end(), {std::to_string(Restarts(*pod)),
                             Age(meta.At("creationTimestamp").Str()), ips, reason});
    }
    table.Add(std::move(row));
  }
  if (context.structured()) {
    PrintValue(context, list);
  } else if (table.empty()) {
    Print("no pods\n");
  } else {
    Print(table.Text());
  }
  return kOk;
}

int Exec(const Context& context, const std::string& name, const std::string& container,
         const std::vector<std::string>& argv) {
  if (argv.empty()) {
    PrintErr("meshctl: exec POD -- COMMAND...: the command is missing");
    return kUsage;
  }
  local::Config config;
  if (!context.Load(config)) return kNotRunning;
  const local::ObjectStore store = LoadObjects(context.layout, config);
  const auto pod = FindPod(store, context.ns, name);
  if (!pod.ok()) return Refuse(pod.status());
  const Json& meta = (*pod)->At("metadata");
  const std::string node = (*pod)->Get({"spec", "nodeName"}).Str(), uid = meta.At("uid").Str();
  const auto cgroup = local::MeshCgroup::Find(context.layout.name);
  if (!cgroup.ok()) return Refuse(cgroup.status());
  local::LaunchSpec spec;
  spec.argv = argv;
  spec.netns = meta.Get({"annotations", "local.mesh/netns"}).Str();
  spec.cgroup = cgroup->pod(node, uid);
  if (spec.netns.empty() || !local::Exists(spec.netns) || !local::Exists(spec.cgroup)) {
    return Refuse(FailedPrecondition(
        "pod {}/{} does not run yet: {} {}", meta.At("namespace").Str(), meta.At("name").Str(),
        PodStatusText(**pod), (*pod)->Get({"status", "message"}).Str()));
  }
  const auto found = FindContainer(**pod, container);
  if (!found.ok()) return Refuse(found.status());
  const Json* chosen = *found;
  auto env = local::PodEnv(*chosen, **pod, store, config.bin_dir,
                           fmt::format("{}/pods/{}", context.layout.node_dir(node), uid));
  if (!env.ok()) return Refuse(env.status());
  spec.env = *std::move(env);
  if (const char* term = std::getenv("TERM")) spec.env.push_back(std::string("TERM=") + term);
  spec.workdir = chosen->At("workingDir").Str("/");
  spec.hostname = meta.At("name").Str().substr(0, 63);
  const std::string dir = context.layout.node_dir(node) + "/pods/" + uid;
  for (const char* file : {"resolv.conf", "hosts", "nsswitch.conf"}) {
    const std::string shown = std::string("/etc/") + file;
    if (local::Exists(shown) && local::Exists(dir + "/" + file))
      spec.binds.emplace_back(dir + "/" + file, shown);
  }
  const absl::Status status = local::Become(spec);
  Refuse(status);
  return status.code() == absl::StatusCode::kNotFound ? 127 : 126;
}

int Logs(const Context& context, const LogsOptions& options) {
  local::Config config;
  if (!context.Load(config)) return kNotRunning;
  const std::string dir = context.layout.log();
  for (const char* per_node : {"ztunnel", "agent"}) {
    if (options.what != per_node) continue;
    if (!config.mesh)
      return Refuse(
          FailedPrecondition("this mesh was started with --no-mesh: no {} runs", options.what));
    const std::string node =
        options.node.empty() && !config.nodes.empty() ? config.nodes[0].name : options.node;
    const bool known = std::any_of(config.nodes.begin(), config.nodes.end(),
                                   [&](const auto& item) { return item.name == node; });
    if (!known) return Refuse(NotFound("no node \"{}\"", node));
    return ShowLog(fmt::format("{}/{}-{}.log", dir, per_node, node), options);
  }
  const bool daemon = options.what.find('/') == std::string::npos &&
                      local::Exists(dir + "/" + options.what + ".log");
  if (daemon)
    return ShowLog(dir + "/" + options.what + ".log",
                   options);  // controller, runtime, ztunnel-node-1
  const local::ObjectStore store = LoadObjects(context.layout, config);
  const auto pod = FindPod(store, context.ns, options.what);
  if (!pod.ok()) return Refuse(pod.status());
  const Json& meta = (*pod)->At("metadata");
  const auto container = FindContainer(**pod, options.container);
  if (!container.ok()) return Refuse(container.status());
  return ShowLog(fmt::format("{}/pods/{}_{}_{}.log", dir, meta.At("namespace").Str(),
                             meta.At("name").Str(), (*container)->At("name").Str()),
                 options);
}

}  // namespace mesh::meshctl
