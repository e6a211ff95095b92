// meshctl status: the whole mesh on one page.
#include <fmt/format.h>

#include <map>

#include "tools/meshctl/commands/health.h"
#include "tools/meshctl/commands/manifests.h"
#include "tools/meshctl/context.h"
#include "tools/meshctl/json.h"
#include "tools/meshctl/local/teardown.h"
#include "tools/meshctl/output.h"
#include "ztunnel/base/files.h"
#include "ztunnel/base/status.h"

namespace mesh::meshctl {
namespace {

struct View {
  Json value = Json::Obj({});
  bool healthy = true;
};

std::string Text(const absl::Status& status) {
  return status.ok() ? "ready" : std::string(MessageOf(status));
}

void AddDaemons(const Json& state, View& view) {
  view.value["daemons"] = state.At("daemons").IsArray() ? state.At("daemons") : Json(Json::Array{});
  for (const Json& daemon : state.At("daemons").Items()) {
    view.healthy = view.healthy && daemon.At("state").Str() == "running";
  }
}

// What the node's agent says of its pods, by "namespace/name".
using Reasons = std::map<std::string, std::pair<std::string, std::string>>;

void AddNode(const local::Layout& layout, const local::NodeConfig& node, View& view,
             Reasons& reasons) {
  Json item = Json::Obj({{"name", node.name}, {"ip", local::NodeIp(node.index, 4)}});
  const auto agent = AgentStatus(layout, node.name);
  const absl::Status ztunnel = ZtunnelReady(layout, node.name);
  item["agent"] = Text(agent.status());
  item["ztunnel"] = Text(ztunnel);
  view.healthy = view.healthy && agent.ok() && ztunnel.ok();
  if (agent.ok()) {
    for (const Json& pod : agent->At("pods").Items()) {
      const std::string ns = pod.At("namespace").Str();
      reasons[ns + "/" + pod.At("name").Str()] = {pod.At("state").Str(), pod.At("reason").Str()};
    }
  }
  int certificates = 0;
  const auto dump = ZtunnelDump(layout, node.name);
  if (dump.ok()) {
    for (const Json& certificate : dump->At("certificates").Items()) {
      ++certificates;
      Json entry = Json::Obj({{"node", node.name},
                              {"identity", certificate.At("identity")},
                              {"state", certificate.At("state")}});
      if (!certificate.At("certChain").Items().empty()) {
        entry["notAfter"] = certificate.At("certChain").Items()[0].At("expirationTime");
      }
      view.value["certificates"].Push(std::move(entry));
    }
    item["workloads"] = static_cast<int>(dump->At("workloads").Items().size());
    item["services"] = static_cast<int>(dump->At("services").Items().size());
    item["policies"] = static_cast<int>(dump->At("policies").Items().size());
  }
  item["certificates"] = certificates;
  view.value["nodes"].Push(std::move(item));
}

void AddPods(const local::ObjectStore& store, const Context& context, const Reasons& reasons,
             View& view) {
  view.value["pods"] = Json::Array{};
  for (const Json* pod : store.OfKind("Pod")) {
    const std::string ns = pod->Get({"metadata", "namespace"}).Str(),
                      name = pod->Get({"metadata", "name"}).Str();
    if (!context.ns.empty() && ns != context.ns) continue;
    Json item = Json::Obj({{"namespace", ns},
                           {"name", name},
                           {"node", pod->Get({"spec", "nodeName"})},
                           {"status", PodStatusText(*pod)}});
    std::string mesh = MeshStateOf(*pod), reason;
    if (const auto it = reasons.find(ns + "/" + name); it != reasons.end()) {
      mesh = it->second.first;
      reason = it->second.second;
    }
    item["mesh"] = mesh;
    item["reason"] = reason.empty() ? pod->Get({"status", "message"}).Str() : reason;
    view.value["pods"].Push(std::move(item));
  }
}

void AddSync(const local::Layout& layout, View& view) {
  const auto page = ControllerPage(layout, "/debug/status");
  view.value["controller"] = Text(page.status());
  view.healthy = view.healthy && page.ok();
  view.value["sync"] = Json::Array{};
  if (!page.ok()) return;
  for (const Json& client : page->At("clients").Items()) {
    for (const Json& type : client.At("types").Items()) {
      view.healthy = view.healthy && type.At("status").Str() != "NACK";
      view.value["sync"].Push(Json::Obj({{"node", client.At("node")},
                                         {"type", type.At("type")},
                                         {"state", type.At("status")},
                                         {"resources", type.At("resources")},
                                         {"reason", type.At("reason").Str()}}));
    }
  }
  const auto problems = ControllerPage(layout, "/debug/problems");
  if (problems.ok()) view.value["problems"] = *problems;
}

void PrintHuman(const Json& value) {
  Print(fmt::format("mesh {}   runtime {}   controller {}\n", value.At("mesh").Str(),
                    value.At("runtime").Str(), value.At("controller").Str("-")));
  Table nodes(
      {"NODE", "IP", "AGENT", "ZTUNNEL", "WORKLOADS", "SERVICES", "POLICIES", "CERTIFICATES"});
  for (const Json& node : value.At("nodes").Items()) {
    nodes.Add({node.At("name").Str(), node.At("ip").Str(), node.At("agent").Str(),
               node.At("ztunnel").Str(), node.At("workloads").Str(), node.At("services").Str(),
               node.At("policies").Str(), node.At("certificates").Str()});
  }
  Print("\n" + nodes.Text());
  Table daemons({"DAEMON", "STATE", "PID", "RESTARTS", "AGE", "REASON"});
  for (const Json& daemon : value.At("daemons").Items()) {
    daemons.Add({daemon.At("name").Str(), daemon.At("state").Str(), daemon.At("pid").Str(),
                 daemon.At("restarts").Str(), Age(daemon.At("since").Str()),
                 daemon.At("reason").Str()});
  }
  if (!daemons.empty()) Print("\n" + daemons.Text());
  Table pods({"NAMESPACE", "POD", "NODE", "STATUS", "MESH", "WHY"});
  for (const Json& pod : value.At("pods").Items()) {
    pods.Add({pod.At("namespace").Str(), pod.At("name").Str(), pod.At("node").Str(),
              pod.At("status").Str(), pod.At("mesh").Str(), pod.At("reason").Str()});
  }
  if (!pods.empty()) Print("\n" + pods.Text());
  Table sync({"NODE", "CONFIGURATION", "RESOURCES", "SYNC", "REASON"});
  for (const Json& item : value.At("sync").Items()) {
    sync.Add({item.At("node").Str(), item.At("type").Str(), item.At("resources").Str(),
              item.At("state").Str(), item.At("reason").Str()});
  }
  if (!sync.empty()) Print("\n" + sync.Text());
  Table certificates({"NODE", "IDENTITY", "STATE", "EXPIRES"});
  for (const Json& item : value.At("certificates").Items()) {
    certificates.Add({item.At("node").Str(), item.At("identity").Str(), item.At("state").Str(),
                      item.At("notAfter").Str()});
  }
  if (!certificates.empty()) Print("\n" + certificates.Text());
  Table problems({"PROBLEM", "OBJECT", "FIELD", "VALUE", "REASON", "IN FORCE"});
  for (const Json& item : value.At("problems").Items()) {
    const bool object = !item.At("object").Empty();
    const bool refused = item.At("level").Str("error") == "error";
    problems.Add({fmt::format("{}:{}", item.At("file").Str(), item.At("line").Str()),
                  item.At("object").Str(), item.At("field").Str(), item.At("value").Str(),
                  item.At("reason").Str(item.At("message").Str()),
                  !object                           ? ""
                  : !refused                        ? "all else"
                  : item.At("lastGoodStays").Bool() ? "last good version"
                                                    : "nothing"});
  }
  if (!problems.empty()) Print("\n" + problems.Text());
}

}  // namespace

int Status(const Context& context) {
  local::Config config;
  if (!context.Load(config)) return kNotRunning;
  View view;
  const int pid = local::RuntimePid(context.layout);
  view.value["mesh"] = context.layout.name;
  view.value["runtime"] = pid > 0 ? fmt::format("running (pid {})", pid)
                                  : std::string("not running: `meshctl local up` starts it again");
  view.healthy = pid > 0;
  const auto state = Json::Parse(ReadFileOr(context.layout.state_file(), "{}"));
  if (state.ok()) AddDaemons(*state, view);
  Reasons reasons;
  if (config.mesh) {
    AddSync(context.layout, view);
    for (const local::NodeConfig& node : config.nodes) AddNode(context.layout, node, view, reasons);
  } else {
    view.value["problems"] = state.ok() ? state->At("problems") : Json();
    for (const local::NodeConfig& node : config.nodes) {
      view.value["nodes"].Push(
          Json::Obj({{"name", node.name}, {"ip", local::NodeIp(node.index, 4)}}));
    }
  }
  AddPods(LoadObjects(context.layout, config), context, reasons, view);
  view.value["healthy"] = view.healthy;
  if (context.structured()) {
    PrintValue(context, view.value);
  } else {
    PrintHuman(view.value);
  }
  return pid < 0 ? kNotRunning : view.healthy ? kOk : kFailed;
}

}  // namespace mesh::meshctl
