// The dump that istioctl, Kiali and meshctl read: what this proxy knows and does, as JSON.
//
// Pure: from a snapshot gathered on the main loop to text, on any thread.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "ztunnel/admin/json_writer.h"
#include "ztunnel/core/identity/certificate_manager.h"
#include "ztunnel/core/state/mesh_state.h"
#include "ztunnel/pods/pod_manager.h"
#include "ztunnel/tunnel/worker.h"

namespace mesh::admin {

struct DumpSnapshot {
  state::MeshStateRef mesh;  // null: nothing yet
  std::vector<identity::CertificateState> certificates;
  std::vector<pods::PodState> pods;
  std::vector<tunnel::ActiveConnection> connections;
};

// `write_config` writes the value of "config".
std::string ConfigDump(const DumpSnapshot& snapshot, std::string_view version_tag,
                       const std::function<void(JsonWriter&)>& write_config);

// One object each.
void WriteWorkload(JsonWriter& json, const state::Workload& workload);
void WriteService(JsonWriter& json, const state::MeshState& mesh, const state::Service& service);
void WritePolicy(JsonWriter& json, const authz::Policy& policy);
void WriteCertificate(JsonWriter& json, const identity::CertificateState& certificate);
// {"secs": n, "nanos": n}
void WriteDuration(JsonWriter& json, absl::Duration duration);

}  // namespace mesh::admin
