// meshctl ztunnel-config: tables of what a node's ztunnel says in its dump.
#include <fmt/format.h>

#include <functional>

#include "tools/meshctl/commands/health.h"
#include "tools/meshctl/commands/manifests.h"
#include "tools/meshctl/context.h"
#include "tools/meshctl/json.h"
#include "tools/meshctl/output.h"
#include "ztunnel/base/files.h"
#include "ztunnel/base/status.h"

namespace mesh::meshctl {
namespace {

std::string Joined(const Json& list) {
  std::string out;
  for (const Json& item : list.Items()) out += (out.empty() ? "" : ",") + item.Str();
  return out;
}

// "network/address" without a network that is empty.
std::string Address(std::string text) { return text.starts_with("/") ? text.substr(1) : text; }

std::string Waypoint(const Json& waypoint) {
  if (waypoint.IsNull()) return "None";
  return Address(waypoint.At("destination").Str());
}

bool InNamespace(const Context& context, const Json& object) {
  return context.ns.empty() || object.At("namespace").Str() == context.ns;
}

Table Workloads(const Context& context, const Json& dump) {
  std::vector<std::string> head = {"NAMESPACE", "POD NAME", "ADDRESS",
                                   "NODE",      "WAYPOINT", "PROTOCOL"};
  if (context.output == Output::kWide)
    head.insert(head.end(), {"SERVICE ACCOUNT", "STATUS", "UID"});
  Table table(head);
  for (const Json& w : dump.At("workloads").Items()) {
    if (!InNamespace(context, w)) continue;
    std::vector<std::string> row = {w.At("namespace").Str(),     w.At("name").Str(),
                                    Joined(w.At("workloadIps")), w.At("node").Str(),
                                    Waypoint(w.At("waypoint")),  w.At("protocol").Str()};
    if (context.output == Output::kWide)
      row.insert(row.end(),
                 {w.At("serviceAccount").Str(), w.At("status").Str(), w.At("uid").Str()});
    table.Add(std::move(row));
  }
  return table;
}

Table Services(const Context& context, const Json& dump) {
  Table table({"NAMESPACE", "SERVICE NAME", "SERVICE VIP", "WAYPOINT", "ENDPOINTS"});
  for (const Json& s : dump.At("services").Items()) {
    if (!InNamespace(context, s)) continue;
    std::string vips;
    for (const Json& vip : s.At("vips").Items())
      vips += (vips.empty() ? "" : ",") + Address(vip.Str());
    int healthy = 0;
    for (const auto& [uid, endpoint] : s.At("endpoints").Members())
      healthy += endpoint.At("status").Str("Healthy") == "Healthy";
    table.Add({s.At("namespace").Str(), s.At("name").Str(), vips, Waypoint(s.At("waypoint")),
               fmt::format("{}/{}", healthy, s.At("endpoints").Members().size())});
  }
  return table;
}

Table Policies(const Context& context, const Json& dump) {
  Table table({"NAMESPACE", "POLICY NAME", "ACTION", "SCOPE"});
  for (const Json& p : dump.At("policies").Items()) {
    if (InNamespace(context, p))
      table.Add(
          {p.At("namespace").Str(), p.At("name").Str(), p.At("action").Str(), p.At("scope").Str()});
  }
  return table;
}

Table Certificates(const Context&, const Json& dump) {
  Table table({"CERTIFICATE NAME", "TYPE", "STATUS", "VALID CERT", "SERIAL NUMBER", "NOT AFTER",
               "NOT BEFORE"});
  for (const Json& c : dump.At("certificates").Items()) {
    const auto add = [&](const Json& cert, const char* type) {
      absl::Time end, begin;
      std::string error;
      const bool parsed =
          absl::ParseTime(absl::RFC3339_full, cert.At("expirationTime").Str(), &end, &error) &&
          absl::ParseTime(absl::RFC3339_full, cert.At("validFrom").Str(), &begin, &error);
      const bool valid = parsed && absl::Now() >= begin && absl::Now() < end;
      table.Add({c.At("identity").Str(), type, c.At("state").Str(), valid ? "true" : "false",
                 cert.At("serialNumber").Str(), cert.At("expirationTime").Str(),
                 cert.At("validFrom").Str()});
    };
    const auto& chain = c.At("certChain").Items();
    for (size_t i = 0; i < chain.size(); ++i) add(chain[i], i == 0 ? "Leaf" : "Intermediate");
    for (const Json& root : c.At("rootCerts").Items()) add(root, "Root");
    if (chain.empty())
      table.Add({c.At("identity").Str(), "Leaf", c.At("state").Str(), "false", "", "", ""});
  }
  return table;
}

Table Connections(const Context& context, const ZtunnelOptions& options, const Json& dump) {
  Table table({"WORKLOAD", "DIRECTION", "LOCAL", "REMOTE", "REMOTE TARGET", "PROTOCOL"});
  for (const auto& [uid, workload] : dump.At("workloadState").Members()) {
    const Json& info = workload.At("info");
    if (!context.ns.empty() && info.At("namespace").Str() != context.ns) continue;
    const std::string name = info.At("name").Str() + "." + info.At("namespace").Str();
    for (const char* direction : {"inbound", "outbound"}) {
      if (!options.direction.empty() && options.direction != direction) continue;
      const bool inbound = std::string_view(direction) == "inbound";
      for (const Json& c : workload.Get({"connections", direction}).Items()) {
        const std::string src = c.At("src").Str(), actual = c.At("actualDst").Str(),
                          original = c.At("originalDst").Str();
        table.Add({name, inbound ? "Inbound" : "Outbound", inbound ? actual : src,
                   inbound ? src : actual, inbound ? "" : original, c.At("protocol").Str()});
      }
    }
  }
  return table;
}

// The part of a dump that a view shows.
Json Part(const std::string& what, const Json& dump) {
  return what == "all" ? dump : what == "connections" ? dump.At("workloadState") : dump.At(what);
}

void PrintViews(const Context& context, const ZtunnelOptions& options, const Json& dump) {
  const std::vector<std::pair<std::string, std::function<Table()>>> views = {
      {"workloads", [&] { return Workloads(context, dump); }},
      {"services", [&] { return Services(context, dump); }},
      {"policies", [&] { return Policies(context, dump); }},
      {"certificates", [&] { return Certificates(context, dump); }},
      {"connections", [&] { return Connections(context, options, dump); }}};
  for (const auto& [name, make] : views) {
    if (options.what == name) Print(make().Text());
    if (options.what == "all") Print(fmt::format("{}\n{}\n", name, make().Text()));
  }
}

int Log(const Context& context, const ZtunnelOptions& options,
        const std::vector<std::string>& nodes) {
  int code = kOk;
  for (const std::string& node : nodes) {
    std::string url = "http://127.0.0.1:15000/logging";
    if (options.reset)
      url += "?reset";
    else if (!options.level.empty())
      url += "?level=" + options.level;
    const auto answer = HttpInside(context.layout, node, {.method = "POST", .url = url});
    if (!answer.ok() || answer->code != 200) {
      PrintErr(fmt::format("meshctl: {}: {}", node,
                           answer.ok() ? answer->body : std::string(MessageOf(answer.status()))));
      code = kFailed;
      continue;
    }
    Print(fmt::format("{}: {}{}", node, answer->body, answer->body.ends_with("\n") ? "" : "\n"));
  }
  return code;
}

}  // namespace

int ZtunnelConfig(const Context& context, const ZtunnelOptions& options) {
  if (!options.file.empty()) {
    const auto dump = Json::Parse(ReadFileOr(options.file == "-" ? "/dev/stdin" : options.file));
    if (!dump.ok() || !dump->IsObject()) {
      PrintErr(fmt::format("meshctl: {} is no dump of a ztunnel", options.file));
      return kFailed;
    }
    if (context.structured())
      PrintValue(context, Part(options.what, *dump));
    else
      PrintViews(context, options, *dump);
    return kOk;
  }
  local::Config config;
  if (!context.Load(config)) return kNotRunning;
  if (!config.mesh) {
    PrintErr("meshctl: this mesh was started with --no-mesh: there is no ztunnel");
    return kFailed;
  }
  std::string chosen = options.node;
  if (!options.workload.empty()) {
    const local::ObjectStore store = LoadObjects(context.layout, config);
    const auto pod = FindPod(store, context.ns, options.workload);
    if (!pod.ok()) {
      PrintErr(fmt::format("meshctl: {}", MessageOf(pod.status())));
      return kFailed;
    }
    chosen = (*pod)->Get({"spec", "nodeName"}).Str();
  }
  std::vector<std::string> nodes;
  for (const local::NodeConfig& node : config.nodes) {
    if (chosen.empty() || node.name == chosen) nodes.push_back(node.name);
  }
  if (nodes.empty()) {
    PrintErr(fmt::format("meshctl: no node \"{}\"", chosen));
    return kFailed;
  }
  if (options.what == "log") return Log(context, options, nodes);
  int code = kOk;
  Json all = Json::Obj({});
  for (const std::string& node : nodes) {
    const auto dump = ZtunnelDump(context.layout, node);
    if (!dump.ok()) {
      PrintErr(fmt::format("meshctl: ztunnel of {} does not answer: {}", node,
                           MessageOf(dump.status())));
      code = kFailed;
    } else if (context.structured()) {
      all[node] = Part(options.what, *dump);
    } else {
      if (nodes.size() > 1) Print(fmt::format("{}:\n", node));
      PrintViews(context, options, *dump);
    }
  }
  if (context.structured()) PrintValue(context, nodes.size() == 1 ? all.At(nodes[0]) : all);
  return code;
}

}  // namespace mesh::meshctl
