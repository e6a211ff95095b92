#include "agent/node/status.h"

#include <fmt/format.h>

#include <array>
#include <iterator>

#include "agent/k8s/json.h"

namespace mesh::node {
namespace {

using k8s::Json;

struct Word {
  const char* label;
  const char* text;
};
constexpr Word kReasons[] = {
#define X(name, label, text) {label, text},
    MESH_REASONS(X)
#undef X
};
constexpr Word kCaptures[] = {
#define X(name, label, text) {label, text},
    MESH_CAPTURES(X)
#undef X
};

auto& Fields(Json& json) { return *json.mutable_struct_value()->mutable_fields(); }

Json Number(uint64_t value) {
  Json json;
  json.set_number_value(static_cast<double>(value));
  return json;
}

Json Text(std::string_view value) {
  Json json;
  json.set_string_value(std::string(value));
  return json;
}

Json Bool(bool value) {
  Json json;
  json.set_bool_value(value);
  return json;
}

template <size_t N>
Json CounterList(const std::array<uint64_t, N>& values, const Word (&words)[N]) {
  Json json;
  json.mutable_list_value();
  for (size_t i = 0; i < N; ++i) {
    Json* entry = json.mutable_list_value()->add_values();
    Fields(*entry)["name"] = Text(words[i].label);
    Fields(*entry)["explanation"] = Text(words[i].text);
    Fields(*entry)["count"] = Number(values[i]);
  }
  return json;
}

Json PodJson(const PodReport& pod) {
  Json json;
  auto& fields = Fields(json);
  fields["namespace"] = Text(pod.spec.ns);
  fields["name"] = Text(pod.spec.name);
  fields["uid"] = Text(pod.spec.uid);
  fields["serviceAccount"] = Text(pod.spec.service_account);
  fields["state"] = Text(NameOf(pod.state));
  fields["reason"] = Text(pod.reason);
  fields["strict"] = Bool(pod.spec.strict);
  fields["listener"] = Bool(pod.listener);
  fields["netns"] = Text(pod.spec.netns_path);
  auto& ips = *fields["ips"].mutable_list_value();
  for (const IpAddress& ip : pod.spec.ips) *ips.add_values() = Text(ip.ToString());
  return json;
}

Json BpfJson(const NodeStatus& status) {
  Json json;
  auto& fields = Fields(json);
  auto& programs = *fields["programs"].mutable_list_value();
  for (const ProgramInfo& program : status.programs) {
    Json* entry = programs.add_values();
    Fields(*entry)["name"] = Text(program.name);
    Fields(*entry)["id"] = Number(program.id);
    Fields(*entry)["type"] = Text(program.type);
    Fields(*entry)["attached"] = Text(program.attached);
  }
  auto& maps = *fields["maps"].mutable_list_value();
  for (const MapInfo& map : status.maps) {
    Json* entry = maps.add_values();
    Fields(*entry)["name"] = Text(map.name);
    Fields(*entry)["id"] = Number(map.id);
    Fields(*entry)["type"] = Text(map.type);
    Fields(*entry)["entries"] = Number(map.entries);
    Fields(*entry)["limit"] = Number(map.max_entries);
  }
  fields["refusals"] = CounterList(status.counters.refusals, kReasons);
  fields["captures"] = CounterList(status.counters.captures, kCaptures);
  return json;
}

class Page {
 public:
  void Head(std::string_view name, std::string_view type, std::string_view help) {
    fmt::format_to(std::back_inserter(text_), "# HELP {} {}\n# TYPE {} {}\n", name, help, name,
                   type);
  }
  // Label values are words of our own or names of Kubernetes: nothing to escape.
  void Line(std::string_view name, std::string_view label, std::string_view value,
            uint64_t number) {
    if (label.empty()) {
      fmt::format_to(std::back_inserter(text_), "{} {}\n", name, number);
    } else {
      fmt::format_to(std::back_inserter(text_), "{}{{{}=\"{}\"}} {}\n", name, label, value, number);
    }
  }
  std::string Take() { return std::move(text_); }

 private:
  std::string text_;
};

}  // namespace

std::string StatusJson(const NodeStatus& status) {
  Json json;
  auto& fields = Fields(json);
  fields["node"] = Text(status.node);
  fields["version"] = Text(MESH_VERSION);
  fields["ztunnelConnected"] = Bool(status.ztunnels > 0);
  fields["ztunnels"] = Number(static_cast<uint64_t>(status.ztunnels));
  fields["synced"] = Bool(status.source_synced);
  auto& pods = *fields["pods"].mutable_list_value();
  for (const PodReport& pod : status.pods) *pods.add_values() = PodJson(pod);
  fields["bpf"] = BpfJson(status);
  return k8s::ToText(json, true);
}

std::string MetricsPage(const NodeStatus& status) {
  Page page;
  page.Head("ztunnel_connected", "gauge", "Number of ztunnels connected to the agent.");
  page.Line("ztunnel_connected", "", "", static_cast<uint64_t>(status.ztunnels));
  page.Head("mesh_node_pods", "gauge", "Pods of this node by state.");
  for (const PodState state : {PodState::kEnrolled, PodState::kPending, PodState::kNotEnrolled}) {
    uint64_t n = 0;
    for (const PodReport& pod : status.pods) n += pod.state == state;
    page.Line("mesh_node_pods", "state", NameOf(state), n);
  }
  page.Head("mesh_node_refusals_total", "counter",
            "Connections that the kernel refused, by reason.");
  for (size_t i = 1; i < MESH_REASON_COUNT; ++i) {
    page.Line("mesh_node_refusals_total", "reason", kReasons[i].label, status.counters.refusals[i]);
  }
  page.Head("mesh_node_captures_total", "counter",
            "What the kernel took to ztunnel or let through.");
  for (size_t i = 0; i < MESH_CAPTURE_COUNT; ++i) {
    page.Line("mesh_node_captures_total", "kind", kCaptures[i].label, status.counters.captures[i]);
  }
  page.Head("mesh_node_map_entries", "gauge", "Entries of each BPF map that can be counted.");
  for (const MapInfo& map : status.maps)
    page.Line("mesh_node_map_entries", "map", map.name, map.entries);
  page.Head("mesh_node_map_limit", "gauge", "Most entries that each BPF map takes.");
  for (const MapInfo& map : status.maps)
    page.Line("mesh_node_map_limit", "map", map.name, map.max_entries);
  page.Head("istio_cni_plugin_requests_total", "counter", "Answers to the CNI plugin.");
  for (const auto& [code, n] : status.cni_answers) {
    page.Line("istio_cni_plugin_requests_total", "response_code", std::to_string(code), n);
  }
  page.Head("nodeagent_reconcile_events_total", "counter", "Changes of pods seen.");
  for (const auto& [type, n] : status.pod_events) {
    page.Line("nodeagent_reconcile_events_total", "type", type, n);
  }
  return page.Take();
}

}  // namespace mesh::node
