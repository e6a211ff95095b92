// meshctl bpf: what the mesh has put into the kernel, in words.
#include <fmt/format.h>

#include "tools/meshctl/commands/health.h"
#include "tools/meshctl/context.h"
#include "tools/meshctl/json.h"
#include "tools/meshctl/output.h"
#include "ztunnel/base/status.h"

namespace mesh::meshctl {
namespace {

struct Word {
  std::string_view name, meaning;
};
constexpr Word kPrograms[] = {
    {"mesh_connect4",
     "sends a pod's IPv4 connect() to its ztunnel, or to a pod behind the service"},
    {"mesh_connect6", "the same for IPv6 and v4-mapped addresses"},
    {"mesh_sendmsg4", "the same for datagrams: DNS questions to ztunnel, others to the service"},
    {"mesh_sendmsg6", "the same for IPv6"},
    {"mesh_recvmsg4", "lets answers to those come from the server that was asked"},
    {"mesh_recvmsg6", "the same for IPv6"},
    {"mesh_getpeer4", "getpeername() answers with the address that was asked for"},
    {"mesh_getpeer6", "the same for IPv6"},
    {"mesh_socket", "refuses multipath TCP to captured pods, whose programs fall back to TCP"},
    {"mesh_probeops", "lets those health checks through, by connection"},
    {"mesh_probe4", "gives the node's health checks the address that pods know them by"},
    {"mesh_probe6", "the same for IPv6"},
    {"mesh_sockops", "files the original destination of each captured connection"},
    {"mesh_daemonops", "learns ztunnel's listeners and its connections into pods"},
    {"mesh_sockopt", "answers SO_ORIGINAL_DST to ztunnel"},
    {"mesh_lookup", "hands plain text that arrives at a pod to its ztunnel, or refuses it"},
};
constexpr Word kMaps[] = {
    {"mesh_pods", "pod address -> pod and its flags"},
    {"mesh_netns", "network namespace -> pod"},
    {"mesh_sk", "socket -> where it was going"},
    {"mesh_orig_dst", "captured connection -> where it was going"},
    {"mesh_guard", "ztunnel's own connections into pods, which pass"},
    {"mesh_listeners", "namespace -> ztunnel's listener for arriving plain text"},
    {"mesh_dns", "DNS question -> the server that was asked"},
    {"mesh_services", "port of a service -> the pods behind it, for who is not captured"},
    {"mesh_replies", "datagram to a service -> the address that was asked"},
    {"mesh_config", "the groups of ztunnel and of the health checks"},
    {"mesh_refusals", "refused connections by reason, per CPU"},
    {"mesh_captures", "captured connections by kind, per CPU"},
};

template <size_t N>
std::string Meaning(const Word (&words)[N], const std::string& name) {
  for (const Word& word : words) {
    if (word.name == name) return std::string(word.meaning);
  }
  return "";
}

void PrintNode(const std::string& node, const std::string& what, const Json& status) {
  const bool all = what == "all";
  Print(fmt::format("{}: ztunnel {}\n", node,
                    status.At("ztunnelConnected").Bool() ? "connected" : "not connected"));
  if (all || what == "programs") {
    Table table({"PROGRAM", "ID", "ATTACHED", "WHAT IT DOES"});
    for (const Json& item : status.Get({"bpf", "programs"}).Items()) {
      const std::string name = item.At("name").Str();
      table.Add({name, item.At("id").Str(), item.At("attached").Str(), Meaning(kPrograms, name)});
    }
    Print(table.Text() + "\n");
  }
  if (all || what == "maps") {
    Table table({"MAP", "ID", "ENTRIES", "LIMIT", "WHAT IT HOLDS"});
    for (const Json& item : status.Get({"bpf", "maps"}).Items()) {
      const std::string name = item.At("name").Str(), type = item.At("type").Str();
      // The kernel does not count the sockets of a storage, and an array has always all.
      const bool counted = type != "sk_storage" && !type.ends_with("array");
      table.Add({name, item.At("id").Str(), counted ? item.At("entries").Str() : "",
                 type == "sk_storage" ? "" : item.At("limit").Str(), Meaning(kMaps, name)});
    }
    Print(table.Text() + "\n");
  }
  if (!all && what != "counters") return;
  Table table({"COUNTER", "COUNT", "WHAT IT COUNTS"});
  for (const char* part : {"captures", "refusals"}) {
    for (const Json& item : status.Get({"bpf", part}).Items()) {
      if (item.At("name").Str() == "none") continue;     // reason 0: nothing was refused
      if (all && item.At("count").Num() == 0) continue;  // the whole list with `bpf counters`
      table.Add({fmt::format("{}/{}", part, item.At("name").Str()), item.At("count").Str(),
                 item.At("explanation").Str()});
    }
  }
  Print(table.Text() + "\n");
}

Json Part(const Json& status, const std::string& what) {
  if (what == "all") return status.At("bpf");
  if (what != "counters") return status.Get({"bpf", what});
  return Json::Obj({{"captures", status.Get({"bpf", "captures"})},
                    {"refusals", status.Get({"bpf", "refusals"})}});
}

}  // namespace

int Bpf(const Context& context, const std::string& what, const std::string& only) {
  local::Config config;
  if (!context.Load(config)) return kNotRunning;
  if (!config.mesh) {
    PrintErr("meshctl: this mesh was started with --no-mesh: there is nothing of it in the kernel");
    return kFailed;
  }
  int code = kOk, shown = 0;
  Json all = Json::Obj({});
  for (const local::NodeConfig& node : config.nodes) {
    if (!only.empty() && node.name != only) continue;
    ++shown;
    const auto status = AgentStatus(context.layout, node.name);
    if (!status.ok()) {
      PrintErr(fmt::format("meshctl: the agent of {} does not answer: {}; pins are in {}",
                           node.name, MessageOf(status.status()),
                           context.layout.bpf_dir(node.name)));
      code = kFailed;
    } else if (context.structured()) {
      all[node.name] = Part(*status, what);
    } else {
      PrintNode(node.name, what, *status);
    }
  }
  if (shown == 0) {
    PrintErr(fmt::format("meshctl: no node \"{}\"", only));
    return kFailed;
  }
  if (context.structured()) PrintValue(context, all);
  return code;
}

}  // namespace mesh::meshctl
