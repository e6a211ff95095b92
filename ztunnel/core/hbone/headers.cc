#include "ztunnel/core/hbone/headers.h"

#include <absl/random/random.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "ztunnel/base/log.h"
#include "ztunnel/base/status.h"
#include "ztunnel/base/utf8.h"

namespace mesh::hbone {
namespace {

constexpr size_t kMaxAuthority = 512;     // a DNS name has 253
constexpr size_t kMaxBaggageValue = 253;  // as Kubernetes names; becomes a metric label

constexpr char kReasonHeader[] = "x-mesh-reason";

std::string_view Trim(std::string_view s) {
  while (!s.empty() && (s.front() == ' ' || s.front() == '\t')) s.remove_prefix(1);
  while (!s.empty() && (s.back() == ' ' || s.back() == '\t')) s.remove_suffix(1);
  return s;
}

// The next part of `rest` up to `separator`.
std::string_view NextPart(std::string_view& rest, char separator) {
  const size_t at = rest.find(separator);
  const std::string_view part = rest.substr(0, at);
  rest = at == std::string_view::npos ? std::string_view() : rest.substr(at + 1);
  return Trim(part);
}

std::string_view TypeKey(state::WorkloadType type) {
  switch (type) {
    case state::WorkloadType::kDeployment:
      return "k8s.deployment.name";
    case state::WorkloadType::kCronJob:
      return "k8s.cronjob.name";
    case state::WorkloadType::kPod:
      return "k8s.pod.name";
    case state::WorkloadType::kJob:
      return "k8s.job.name";
  }
  return "k8s.deployment.name";
}

void Add(std::string& out, std::string_view key, std::string_view value) {
  if (value.empty()) return;
  if (!out.empty()) out += ',';
  out.append(key).append("=").append(value);
}

bool IsLabel(std::string_view value) {
  const auto control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; };
  return !value.empty() && value.size() <= kMaxBaggageValue && IsUtf8(value) &&
         std::ranges::none_of(value, control);
}

bool SetMember(telemetry::Baggage& baggage, std::string_view key, std::string_view value) {
  using Type = state::WorkloadType;
  std::string* field = nullptr;
  if (key == "k8s.cluster.name") field = &baggage.cluster;
  if (key == "k8s.namespace.name") field = &baggage.ns;
  if (key == "service.name") field = &baggage.service_name;
  if (key == "service.version") field = &baggage.revision;
  if (key == "cloud.region") field = &baggage.region;
  if (key == "cloud.availability_zone") field = &baggage.zone;
  for (const Type type : {Type::kDeployment, Type::kCronJob, Type::kPod, Type::kJob}) {
    if (key != TypeKey(type)) continue;
    baggage.type = type;
    field = &baggage.workload_name;
  }
  if (field == nullptr) return false;
  field->assign(value);
  return true;
}

}  // namespace

absl::StatusOr<Authority> ParseAuthority(std::string_view text) {
  if (text.size() > kMaxAuthority) return Invalid("authority of {} bytes", text.size());
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || colon == 0)
    return Invalid("authority {} has no port", Quoted(text));
  const std::string_view digits = text.substr(colon + 1);
  uint32_t port = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (digits.empty() || error != std::errc() || end != digits.data() + digits.size() ||
      port > 65535) {
    return Invalid("authority {} has no valid port", Quoted(text));
  }
  std::string_view host = text.substr(0, colon);
  const auto number = static_cast<uint16_t>(port);
  if (host.front() == '[') {
    if (host.back() != ']') return Invalid("authority {} is malformed", Quoted(text));
    const auto ip = IpAddress::Parse(host.substr(1, host.size() - 2));
    if (!ip || ip->IsV4()) return Invalid("authority {} is no IPv6 address", Quoted(text));
    return SocketAddress{*ip, number};
  }
  if (host.find(':') != std::string_view::npos)
    return Invalid("authority {} is malformed", Quoted(text));
  if (const auto ip = IpAddress::Parse(host)) return SocketAddress{*ip, number};
  return HostPort{std::string(host), number};
}

std::string FormatBaggage(const state::Workload& w) {
  std::string out;
  Add(out, "k8s.cluster.name", w.cluster_id);
  Add(out, "k8s.namespace.name", w.ns);
  Add(out, TypeKey(w.type), w.workload_name);
  Add(out, "service.name", w.canonical_name);
  Add(out, "service.version", w.canonical_revision);
  Add(out, "cloud.region", w.locality.region);
  Add(out, "cloud.availability_zone", w.locality.zone);
  return out;
}

std::optional<telemetry::Baggage> ParseBaggage(const h2::Headers& headers) {
  telemetry::Baggage baggage;
  bool any = false;
  for (const h2::Header& header : headers) {
    if (header.name != "baggage") continue;
    std::string_view rest = header.value;
    while (!rest.empty()) {
      std::string_view member = NextPart(rest, ',');
      const std::string_view key = NextPart(member, '=');
      const std::string_view value = Trim(member);
      if (!IsLabel(value)) continue;
      any = SetMember(baggage, key, value) || any;
    }
  }
  if (!any) return std::nullopt;
  return baggage;
}

std::string FormatForwarded(const SocketAddress& client, std::string_view service_hostname) {
  std::string out = fmt::format("for=\"{}\"", client.ToString());
  if (!service_hostname.empty()) out.append(";host=").append(service_hostname);
  return out;
}

std::string ParseForwardedHost(std::string_view forwarded) {
  while (!forwarded.empty()) {
    std::string_view part = NextPart(forwarded, ';');
    if (!part.starts_with("host=")) continue;
    part.remove_prefix(5);
    if (part.size() >= 2 && part.front() == '"' && part.back() == '"')
      part = part.substr(1, part.size() - 2);
    return std::string(part);
  }
  return {};
}

h2::Headers RefusalHeaders(std::string_view status, mesh_reason reason) {
  return {{":status", std::string(status)}, {kReasonHeader, telemetry::ReasonLabel(reason)}};
}

mesh_reason ReasonOfRefusal(const h2::Headers& response) {
  const auto named = telemetry::ReasonFromLabel(h2::Find(response, kReasonHeader));
  if (named && *named != MESH_REASON_NONE) return *named;
  const std::string_view status = h2::Find(response, ":status");
  if (status == "401" || status == "403") return MESH_REASON_POLICY_DENY;
  if (status == "400") return MESH_REASON_BAD_REQUEST;
  return MESH_REASON_TUNNEL_REFUSED;
}

std::string MakeTraceparent() {
  thread_local absl::BitGen random;
  const auto draw = [] { return absl::Uniform<uint64_t>(random); };
  return fmt::format("00-{:016x}{:016x}-{:016x}-00", draw(), draw(), draw() | 1);
}

}  // namespace mesh::hbone
