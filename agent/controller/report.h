// What the controller knows of itself, as text: JSON for /debug, Prometheus for /metrics.
//
// Thread: the controller's.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "agent/controller/ca/signing.h"
#include "agent/controller/model/compiler.h"
#include "agent/controller/xds/hub.h"
#include "agent/k8s/source.h"

namespace mesh::controller {

struct ReportSources {
  const Compiler& compiler;
  const Hub& hub;
  const SigningService& signing;
  const CertificateAuthority& authority;
  const k8s::Source& source;
};

// {"version", "clients": [{"node", "pod", "peer", ..., "types": [{"type", "status", ...}]}]}
std::string StatusJson(const ReportSources& from);
// [{"file", "line", "object", "field", "value", "reason", "level", "kind", "namespace", "name",
// "lastGoodStays"}]
std::string ProblemsJson(const ReportSources& from);
// [{"kind", "namespace", "name", "condition": {...}}]: the objects that problems name.
std::string ConditionsJson(const ReportSources& from);
// [{"name", "version", "resource"}]; `type` is one of NameOf(ResourceType), or empty for all.
std::string ResourcesJson(const ReportSources& from, std::string_view type);
// {"root": {...}, "issued": [{"identity", "node", "serial", "notAfter", ...}]}
std::string CertificatesJson(const ReportSources& from);
std::string Metrics(const ReportSources& from);

}  // namespace mesh::controller
