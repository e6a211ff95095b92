#include "agent/controller/report.h"

#include <fmt/format.h>
#include <google/protobuf/util/json_util.h>

#include "agent/controller/problem_conditions.h"
#include "agent/k8s/json.h"
#include "proto/authorization.pb.h"
#include "proto/l7_cluster.pb.h"
#include "proto/l7_frontend.pb.h"
#include "proto/l7_policy.pb.h"
#include "proto/l7_telemetry.pb.h"
#include "proto/workload.pb.h"

namespace mesh::controller {
namespace {

using k8s::Append;
using k8s::Child;
using k8s::Json;
using k8s::Set;
using k8s::SetNumber;

std::string TimeText(absl::Time time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", time, absl::UTCTimeZone());
}

template <typename T>
Json BodyOf(const Resource& resource) {
  T message;
  std::string text;
  if (!message.ParseFromString(resource.body) ||
      !google::protobuf::util::MessageToJsonString(message, &text).ok()) {
    return Json();
  }
  const absl::StatusOr<Json> json = k8s::FromText(text);
  return json.ok() ? *json : Json();
}

Resource WithoutSecrets(const Resource& resource) {
  l7::v1::Cluster cluster;
  if (!cluster.ParseFromString(resource.body) || cluster.tls().private_key().empty()) {
    return resource;
  }
  cluster.mutable_tls()->set_private_key("<not shown>");
  return MakeResource(resource.name, cluster);
}

Json BodyOf(ResourceType type, const Resource& resource) {
  switch (type) {
    case ResourceType::kAddress:
      return BodyOf<istio::workload::Address>(resource);
    case ResourceType::kAuthorization:
      return BodyOf<istio::security::Authorization>(resource);
    case ResourceType::kPeer:
      return BodyOf<l7::v1::Peer>(resource);
    case ResourceType::kPolicy:
      return BodyOf<l7::v1::Policy>(resource);
    case ResourceType::kAuthentication:
      return BodyOf<l7::v1::Authentication>(resource);
    case ResourceType::kTelemetry:
      return BodyOf<l7::v1::Telemetry>(resource);
    case ResourceType::kCluster:
      return BodyOf<l7::v1::Cluster>(WithoutSecrets(resource));
    case ResourceType::kFrontend:
      return BodyOf<l7::v1::Frontend>(resource);
  }
  return Json();
}

void AddResources(const Compiler& compiler, ResourceType type, Json& list) {
  for (const auto& [name, resource] : compiler.resources(type)) {
    Json& item = Append(list);
    Set(item, "type", NameOf(type));
    Set(item, "name", name);
    Set(item, "version", resource->version);
    Child(item, "resource") = BodyOf(type, *resource);
  }
}

class MetricText {
 public:
  void Family(std::string_view name, std::string_view kind, std::string_view help) {
    text_ += fmt::format("# HELP {} {}\n# TYPE {} {}\n", name, help, name, kind);
  }
  void Sample(std::string_view name, uint64_t value, std::string_view labels = "") {
    text_ += labels.empty() ? fmt::format("{} {}\n", name, value)
                            : fmt::format("{}{{{}}} {}\n", name, labels, value);
  }
  void Single(std::string_view name, std::string_view kind, std::string_view help, uint64_t value) {
    Family(name, kind, help);
    Sample(name, value);
  }
  std::string Take() { return std::move(text_); }

 private:
  std::string text_;
};

}  // namespace

std::string StatusJson(const ReportSources& from) {
  Json status;
  Set(status, "version", from.hub.version());
  Set(status, "rootNamespace", from.compiler.settings().root_namespace);
  Set(status, "trustDomain", from.compiler.settings().trust_domain);
  SetNumber(status, "objects", static_cast<double>(from.compiler.object_count()));
  SetNumber(status, "problems", static_cast<double>(from.source.problems().size()));
  Json& clients = Child(status, "clients");
  clients = k8s::EmptyList();
  for (const ClientStatus& client : from.hub.Clients()) {
    Json& item = Append(clients);
    Set(item, "id", client.node_id);
    Set(item, "node", client.node);
    Set(item, "pod", client.pod);
    Set(item, "peer", client.peer);
    Set(item, "version", client.version);
    Set(item, "connected", TimeText(client.connected));
    SetNumber(item, "nacks", static_cast<double>(client.nacks));
    Json& types = Child(item, "types");
    types = k8s::EmptyList();
    for (const TypeStatus& type : client.types) {
      Json& entry = Append(types);
      Set(entry, "type", type.workloads_only ? "workload" : NameOf(type.type));
      Set(entry, "status", type.word);
      k8s::SetBool(entry, "wildcard", type.wildcard);
      SetNumber(entry, "resources", static_cast<double>(type.resources));
      Set(entry, "sent", type.sent_version);
      Set(entry, "acked", type.acked_version);
      Set(entry, "nacked", type.nacked_version);
      Set(entry, "reason", type.reason);
      Set(entry, "sentAt", TimeText(type.sent_at));
    }
  }
  return k8s::ToText(status);
}

std::string ProblemsJson(const ReportSources& from) {
  Json list = k8s::EmptyList();
  for (const k8s::Problem& problem : from.source.problems()) {
    Json& item = Append(list);
    Set(item, "file", problem.file);
    SetNumber(item, "line", problem.line);
    Set(item, "object", problem.object);
    Set(item, "field", problem.field);
    Set(item, "reason", problem.reason);
    Set(item, "value", problem.value);
    Set(item, "level", problem.level == k8s::Level::kError ? "error" : "warning");
    if (!problem.key) continue;
    Set(item, "kind", k8s::NameOf(problem.key->kind));
    Set(item, "namespace", problem.key->ns);
    Set(item, "name", problem.key->name);
    k8s::SetBool(item, "lastGoodStays", problem.last_good_stays);
  }
  if (!from.compiler.settings_problem().empty()) {
    Json& item = Append(list);
    Set(item, "object", "ConfigMap " + from.compiler.settings().system_namespace + "/istio");
    Set(item, "field", "data.mesh");
    Set(item, "reason", from.compiler.settings_problem());
    Set(item, "level", "error");
  }
  return k8s::ToText(list);
}

std::string ConditionsJson(const ReportSources& from) {
  Json list = k8s::EmptyList();
  for (const auto& [key, condition] : ConditionsOf(from.source.problems())) {
    Json& item = Append(list);
    Set(item, "kind", k8s::NameOf(key.kind));
    Set(item, "namespace", key.ns);
    Set(item, "name", key.name);
    Json& told = Child(item, "condition");
    Set(told, "type", condition.type());
    Set(told, "status", condition.status());
    Set(told, "reason", condition.reason());
    Set(told, "message", condition.message());
  }
  return k8s::ToText(list);
}

std::string ResourcesJson(const ReportSources& from, std::string_view type) {
  Json list = k8s::EmptyList();
  for (const ResourceType known : kResourceTypes) {
    if (type.empty() || type == NameOf(known)) AddResources(from.compiler, known, list);
  }
  return k8s::ToText(list);
}

std::string CertificatesJson(const ReportSources& from) {
  Json all;
  Set(Child(all, "root"), "notAfter", TimeText(from.authority.not_after()));
  Set(Child(all, "root"), "pem", from.authority.root_pem());
  Json& issued = Child(all, "issued");
  issued = k8s::EmptyList();
  for (const IssuedRecord& record : from.signing.Records()) {
    Json& item = Append(issued);
    Set(item, "identity", record.identity);
    Set(item, "node", record.node);
    Set(item, "serial", record.serial);
    Set(item, "issued", TimeText(record.issued));
    Set(item, "notAfter", TimeText(record.not_after));
    SetNumber(item, "count", static_cast<double>(record.count));
  }
  return k8s::ToText(all);
}

std::string Metrics(const ReportSources& from) {
  const HubCounters& hub = from.hub.counters();
  MetricText text;
  text.Single("mesh_controller_pushes_total", "counter", "Pushes of changed resources.",
              hub.pushes);
  text.Single("mesh_controller_responses_total", "counter", "Responses sent to clients.",
              hub.responses);
  text.Single("mesh_controller_resources_sent_total", "counter", "Resources in responses.",
              hub.resources_sent);
  text.Single("mesh_controller_resources_removed_total", "counter", "Removals in responses.",
              hub.removed_sent);
  text.Family("mesh_controller_nacks_total", "counter", "Responses that a client rejected.");
  for (const ResourceType type : kResourceTypes) {
    const auto it = hub.nacks.find(type);
    text.Sample("mesh_controller_nacks_total", it == hub.nacks.end() ? 0 : it->second,
                fmt::format("type=\"{}\"", NameOf(type)));
  }
  text.Single("mesh_controller_clients", "gauge", "Connected clients.", from.hub.client_count());
  text.Single("mesh_controller_clients_refused_total", "counter", "Clients beyond the limit.",
              hub.refused_clients);
  text.Single("mesh_controller_objects", "gauge", "Objects that are read.",
              from.compiler.object_count());
  text.Single("mesh_controller_compiled_total", "counter", "Objects compiled.",
              from.compiler.compiled());
  text.Single("mesh_controller_automatic_addresses_refused_total", "counter",
              "Hosts that found no automatic address left.", from.compiler.vips().refused());
  text.Family("mesh_controller_resources", "gauge", "Compiled resources.");
  for (const ResourceType type : kResourceTypes) {
    text.Sample("mesh_controller_resources", from.compiler.resources(type).size(),
                fmt::format("type=\"{}\"", NameOf(type)));
  }
  size_t errors = 0;
  for (const auto& problem : from.source.problems()) errors += problem.level == k8s::Level::kError;
  text.Family("mesh_controller_problems", "gauge", "Problems of objects, by level.");
  text.Sample("mesh_controller_problems", errors, "level=\"error\"");
  text.Sample("mesh_controller_problems", from.source.problems().size() - errors,
              "level=\"warning\"");
  text.Single("mesh_controller_certificates_issued_total", "counter", "Certificates issued.",
              from.signing.issued());
  text.Single("mesh_controller_certificates_refused_total", "counter", "Requests refused.",
              from.signing.refused());
  text.Single("mesh_controller_root_expiry_timestamp_seconds", "gauge",
              "End of the CA certificate.",
              static_cast<uint64_t>(absl::ToUnixSeconds(from.authority.not_after())));
  return text.Take();
}

}  // namespace mesh::controller
