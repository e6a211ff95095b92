#include "agent/controller/model/settings.h"

#include <cstdlib>

#include "agent/k8s/json.h"
#include "ztunnel/base/status.h"
#include "ztunnel/base/yaml.h"

namespace mesh::controller {

namespace {

using k8s::Json;
using k8s::Member;
using k8s::StringMember;

uint32_t PortOf(const Json& json) {
  const Json* port = Member(json, "port");
  return port == nullptr ? 0 : static_cast<uint32_t>(port->number_value());
}

// "ns/host" or "host".
std::string HostOf(const Json& json) {
  const std::string service = StringMember(json, "service");
  const size_t slash = service.find('/');
  return slash == std::string::npos ? service : service.substr(slash + 1);
}

void AddProviders(const Json& mesh, Settings& settings) {
  const Json* list = Member(mesh, "extensionProviders");
  if (list == nullptr) return;
  for (const Json& item : list->list_value().values()) {
    TracingProvider provider;
    provider.name = StringMember(item, "name");
    if (const Json* zipkin = Member(item, "zipkin")) {
      provider.service = HostOf(*zipkin);
      provider.port = PortOf(*zipkin);
      provider.path = StringMember(*zipkin, "path");
      if (provider.path.empty()) provider.path = "/api/v2/spans";
    } else if (const Json* otlp = Member(item, "opentelemetry")) {
      provider.service = HostOf(*otlp);
      provider.port = PortOf(*otlp);
      provider.otlp = true;
      const Json* http = Member(*otlp, "http");
      provider.path = http == nullptr ? "" : StringMember(*http, "path");
      if (provider.path.empty()) provider.path = "/v1/traces";
    } else {
      continue;  // no provider of traces
    }
    settings.tracing_providers.push_back(std::move(provider));
  }
}

// defaultConfig.tracing.zipkin.address, HOST:PORT, is a provider without a name of its own.
void AddOldTracing(const Json& mesh, Settings& settings) {
  const Json* config = Member(mesh, "defaultConfig");
  const Json* tracing = config == nullptr ? nullptr : Member(*config, "tracing");
  if (tracing == nullptr) return;
  if (const Json* sampling = Member(*tracing, "sampling")) {
    settings.trace_sampling_percent = sampling->number_value();
  }
  const Json* zipkin = Member(*tracing, "zipkin");
  const std::string address = zipkin == nullptr ? "" : StringMember(*zipkin, "address");
  const size_t colon = address.rfind(':');
  if (address.empty() || colon == std::string::npos) return;
  settings.tracing_providers.push_back(
      {.name = "zipkin",
       .service = address.substr(0, colon),
       .port = static_cast<uint32_t>(std::atoi(address.c_str() + colon + 1)),
       .path = "/api/v2/spans",
       .otlp = false});
  if (settings.default_tracing.empty()) settings.default_tracing = "zipkin";
}

void AddTelemetry(const Json& mesh, Settings& settings) {
  AddProviders(mesh, settings);
  if (const Json* defaults = Member(mesh, "defaultProviders")) {
    const Json* tracing = Member(*defaults, "tracing");
    if (tracing != nullptr && tracing->list_value().values_size() > 0) {
      settings.default_tracing = tracing->list_value().values(0).string_value();
    }
  }
  AddOldTracing(mesh, settings);
  if (const Json* file = Member(mesh, "accessLogFile")) {
    settings.access_log = !file->string_value().empty();
  }
  settings.access_log_json = StringMember(mesh, "accessLogEncoding") == "JSON";
}

}  // namespace

Settings WithMeshConfig(const Settings& flags, const api::ConfigMap* config, std::string& problem) {
  problem.clear();
  Settings settings = flags;
  if (config == nullptr) return settings;
  const auto data = config->data().find("mesh");
  if (data == config->data().end()) return settings;
  const auto documents = ReadYaml(data->second);
  if (documents.empty()) return settings;
  if (!documents.front().status.ok()) {
    problem = std::string(MessageOf(documents.front().status));
    return settings;
  }
  const k8s::Json& mesh = documents.front().value;
  if (const std::string root = k8s::StringMember(mesh, "rootNamespace"); !root.empty()) {
    settings.root_namespace = root;
  }
  if (const std::string domain = k8s::StringMember(mesh, "trustDomain"); !domain.empty()) {
    settings.trust_domain = domain;
  }
  AddTelemetry(mesh, settings);
  return settings;
}

}  // namespace mesh::controller
