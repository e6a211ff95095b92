#include "ztunnel/admin/config_dump.h"

#include <absl/strings/escaping.h>

#include "ztunnel/base/status.h"

namespace mesh::admin {
namespace {

using tunnel::ActiveConnection;

void WriteConnections(JsonWriter& json, const std::vector<const ActiveConnection*>& connections,
                      telemetry::Direction direction) {
  json.BeginArray();
  for (const ActiveConnection* c : connections) {
    if (c->direction != direction) continue;
    json.BeginObject();
    json.Member("src", c->src.ToString());
    json.Member("originalDst", c->original_dst.ToString());
    json.Member("actualDst", c->actual_dst.ToString());
    json.Member("protocol", c->hbone ? "HBONE" : "TCP");
    json.EndObject();
  }
  json.EndArray();
}

void WriteWorkloadState(JsonWriter& json, const DumpSnapshot& snapshot) {
  std::map<std::string_view, std::vector<const ActiveConnection*>> by_pod;
  for (const ActiveConnection& c : snapshot.connections) by_pod[c.pod_uid].push_back(&c);
  json.BeginObject();
  for (const pods::PodState& state : snapshot.pods) {
    const tunnel::Pod& pod = *state.pod;
    json.Key(pod.uid);
    json.BeginObject();
    json.Member("state", state.up ? "Up" : "Pending");
    if (!state.error.ok()) json.Member("error", MessageOf(state.error));
    json.Key("connections");
    json.BeginObject();
    json.Key("inbound");
    WriteConnections(json, by_pod[pod.uid], telemetry::Direction::kInbound);
    json.Key("outbound");
    WriteConnections(json, by_pod[pod.uid], telemetry::Direction::kOutbound);
    json.EndObject();
    json.Key("info");
    json.BeginObject();
    json.Member("name", pod.name);
    json.Member("namespace", pod.ns);
    json.Member("serviceAccount", pod.service_account);
    json.EndObject();
    json.EndObject();
  }
  json.EndObject();
}

void WriteStaged(JsonWriter& json, const state::MeshState* mesh) {
  json.BeginObject();
  if (mesh != nullptr) {
    for (const auto& [service, endpoints] : mesh->StagedEndpoints()) {
      json.Key(service);
      json.BeginObject();
      for (const auto& endpoint : endpoints) {
        json.Key(endpoint.workload->uid);
        json.BeginObject();
        json.Member("workloadUid", endpoint.workload->uid);
        json.EndObject();
      }
      json.EndObject();
    }
  }
  json.EndObject();
}

void WriteVersion(JsonWriter& json, std::string_view tag) {
  json.BeginObject();
  json.Member("version", MESH_VERSION);
  json.Member("istioVersion", tag);
  json.Member("gitRevision", "unknown");
  json.Member("buildStatus", "Clean");
  json.Member("cryptoProvider", "openssl");
#ifdef NDEBUG
  json.Member("buildProfile", "release");
#else
  json.Member("buildProfile", "debug");
#endif
  json.EndObject();
}

void WriteChain(JsonWriter& json, const std::vector<identity::CertificateInfo>& chain) {
  json.BeginArray();
  for (const auto& certificate : chain) {
    const auto time = [](absl::Time t) {
      return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", t, absl::UTCTimeZone());
    };
    json.BeginObject();
    json.Member("pem", std::string(absl::Base64Escape(
                           absl::string_view(certificate.pem.data(), certificate.pem.size()))));
    json.Member("serialNumber", certificate.serial_decimal);
    json.Member("validFrom", time(certificate.not_before));
    json.Member("expirationTime", time(certificate.not_after));
    json.EndObject();
  }
  json.EndArray();
}

}  // namespace

void WriteDuration(JsonWriter& json, absl::Duration duration) {
  const int64_t seconds = absl::ToInt64Seconds(duration);
  json.BeginObject();
  json.Member("nanos", absl::ToInt64Nanoseconds(duration - absl::Seconds(seconds)));
  json.Member("secs", seconds);
  json.EndObject();
}

void WriteCertificate(JsonWriter& json, const identity::CertificateState& state) {
  json.BeginObject();
  json.Member("identity", state.identity.ToString());
  if (state.certificate != nullptr && state.certificate->not_after() > absl::Now()) {
    json.Member("state", "Available");
  } else if (state.last_error.ok()) {
    json.Member("state", "Initializing");
  } else {
    json.Member("state", fmt::format("Unavailable: {}", MessageOf(state.last_error)));
  }
  static const std::vector<identity::CertificateInfo> kNone;
  json.Key("certChain");
  WriteChain(json, state.certificate != nullptr ? state.certificate->chain() : kNone);
  json.Key("rootCerts");
  WriteChain(json, state.certificate != nullptr ? state.certificate->roots() : kNone);
  json.EndObject();
}

std::string ConfigDump(const DumpSnapshot& snapshot, std::string_view version_tag,
                       const std::function<void(JsonWriter&)>& write_config) {
  JsonWriter json;
  const state::MeshState* mesh = snapshot.mesh.get();
  json.BeginObject();
  json.Key("workloads");
  json.BeginArray();
  if (mesh != nullptr) {
    for (const auto& workload : mesh->Workloads()) WriteWorkload(json, *workload);
  }
  json.EndArray();
  json.Key("services");
  json.BeginArray();
  if (mesh != nullptr) {
    for (const auto& service : mesh->Services()) WriteService(json, *mesh, *service);
  }
  json.EndArray();
  json.Key("policies");
  json.BeginArray();
  if (mesh != nullptr) {
    for (const auto& policy : mesh->Policies()) WritePolicy(json, *policy);
  }
  json.EndArray();
  json.Key("stagedServices");
  WriteStaged(json, mesh);
  json.Key("certificates");
  json.BeginArray();
  for (const auto& certificate : snapshot.certificates) WriteCertificate(json, certificate);
  json.EndArray();
  json.Key("workloadState");
  WriteWorkloadState(json, snapshot);
  json.Key("staticConfig");
  json.BeginObject();
  for (const char* key : {"policies", "services", "workloads"}) {
    json.Key(key);
    json.BeginArray();
    json.EndArray();
  }
  json.EndObject();
  json.Key("version");
  WriteVersion(json, version_tag);
  json.Key("config");
  write_config(json);
  json.EndObject();
  return std::move(json).Finish();
}

}  // namespace mesh::admin
