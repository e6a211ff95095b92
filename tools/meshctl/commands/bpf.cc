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
    {"mesh_connect4", "sends a pod's IPv4 connect() to its ztunnel and remembers where it was going"},
    {"mesh_connect6", "the same for IPv6 and v4-mapped addresses"},
    {"mesh_peername4", "getpeername() answers with the address that was asked for"},
    {"mesh_peername6", "the same for IPv6"},
    {"mesh_sendmsg4", "sends DNS questions over UDP to the pod's ztunnel"},
    {"mesh_sendmsg6", "the same for IPv6"},
    {"mesh_recvmsg4", "lets DNS answers come from the server that was asked"},
    {"mesh_recvmsg6", "the same for IPv6"},
    {"mesh_sockops", "files the original destination of each captured connection, and ztunnel's listeners"},
    {"mesh_getsockopt", "answers SO_ORIGINAL_DST to ztunnel"},
    {"mesh_setsockopt", "keeps pods from options that would dodge capture"},
    {"mesh_lookup", "hands plaintext that arrives at a pod to its ztunnel, or refuses it"},
};
constexpr Word kMaps[] = {
    {"mesh_pods", "pod address -> pod and its flags"},
    {"mesh_netns", "network namespace -> pod"},
    {"mesh_orig_dst", "captured connection -> where it was going"},
    {"mesh_sk_dst", "socket -> where it was going, until it is connected"},
    {"mesh_guard", "ztunnel's own connections into pods, which pass"},
    {"mesh_listeners", "namespace -> ztunnel's listener for arriving plaintext"},
    {"mesh_counters", "how often each reason applied, per CPU"},
    {"mesh_dns", "DNS question -> the server that was asked"},
    {"mesh_config", "cgroups of ztunnel and of the prober"},
};

template <size_t N>
std::string Meaning(const Word (&words)[N], const std::string& name) {
  for (const Word& word : words) {
    if (word.name == name) return std::string(word.meaning);
  }
  return "";
}

const Json& BpfPart(const Json& status, std::string_view part) {
  return status.At("bpf").Has(part) ? status.Get({"bpf", part}) : status.At(part);
}

// Both [{"name": ...}] and {"name": ...} are read.
template <typename Fn>
void ForEach(const Json& part, Fn fn) {
  for (const Json& item : part.Items()) fn(item.IsString() ? item.Str() : item.At("name").Str(item.At("reason").Str()), item);
  for (const auto& [name, item] : part.Members()) fn(name, item);
}

void PrintNode(const std::string& node, const std::string& what, const Json& status) {
  const bool all = what == "all";
  Print(fmt::format("{}: {}\n", node, status.Get({"bpf", "dir"}).Str("programs and maps of this node")));
  if (all || what == "programs") {
    Table table({"PROGRAM", "ID", "ATTACHED", "WHAT IT DOES"});
    ForEach(BpfPart(status, "programs"), [&](const std::string& name, const Json& item) {
      table.Add({name, item.At("id").Str(), item.At("attach").Str(item.At("attached").Str()), Meaning(kPrograms, name)});
    });
    Print(table.Text() + "\n");
  }
  if (all || what == "maps") {
    Table table({"MAP", "ID", "ENTRIES", "LIMIT", "WHAT IT HOLDS"});
    ForEach(BpfPart(status, "maps"), [&](const std::string& name, const Json& item) {
      table.Add({name, item.At("id").Str(), item.At("entries").Str(), item.At("limit").Str(item.At("max_entries").Str()), Meaning(kMaps, name)});
    });
    Print(table.Text() + "\n");
  }
  if (all || what == "counters") {
    Table table({"COUNTER", "COUNT"});
    ForEach(BpfPart(status, "counters"), [&](const std::string& name, const Json& item) {
      const std::string count = item.IsObject() ? item.At("count").Str(item.At("value").Str()) : item.Str();
      if (count != "0" || what == "counters") table.Add({name, count});
    });
    Print(table.Text() + "\n");
  }
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
      PrintErr(fmt::format("meshctl: the agent of {} does not answer: {}; pins are in {}", node.name, MessageOf(status.status()),
                           context.layout.bpf_dir(node.name)));
      code = kFailed;
    } else if (context.structured()) {
      all[node.name] = what == "all" ? status->At("bpf") : BpfPart(*status, what);
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
