#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "ztunnel/waypoint/filter/json_text.h"
#include "ztunnel/waypoint/filter/span.h"

namespace mesh::filter {
namespace {

void AppendMember(std::string_view name, std::string_view value, std::string& out) {
  out += ',';
  AppendJsonString(name, out);
  out += ':';
  AppendJsonString(value, out);
}

void AppendEndpoint(std::string_view name, const std::string& service,
                    const std::optional<SocketAddress>& address, std::string& out) {
  if (service.empty() && !address) return;
  fmt::format_to(std::back_inserter(out), ",\"{}\":{{", name);
  std::string members;
  if (!service.empty()) AppendMember("serviceName", service, members);
  if (address) {
    AppendMember(address->ip.IsV4() ? "ipv4" : "ipv6", address->ip.ToString(), members);
    if (address->port != 0)
      fmt::format_to(std::back_inserter(members), ",\"port\":{}", address->port);
  }
  out += std::string_view(members).substr(1);
  out += '}';
}

void AppendTags(const Span& span, std::string& out) {
  std::string members;
  for (const auto& [name, value] : span.tags) AppendMember(name, value, members);
  if (span.error) AppendMember("error", "true", members);
  if (members.empty()) return;
  out += ",\"tags\":{";
  out += std::string_view(members).substr(1);
  out += '}';
}

void AppendSpan(const Span& span, std::string& out) {
  fmt::format_to(std::back_inserter(out), "{{\"traceId\":\"{}\",\"id\":\"{}\"",
                 span.trace_id.ToHex(), SpanIdHex(span.id));
  if (span.parent != 0) AppendMember("parentId", SpanIdHex(span.parent), out);
  AppendMember("kind", span.kind == Span::Kind::kServer ? "SERVER" : "CLIENT", out);
  if (!span.name.empty()) AppendMember("name", span.name, out);
  // 0 would mean that the duration is not known.
  fmt::format_to(std::back_inserter(out), ",\"timestamp\":{},\"duration\":{}",
                 absl::ToUnixMicros(span.start),
                 std::max<int64_t>(1, absl::ToInt64Microseconds(span.duration)));
  AppendEndpoint("localEndpoint", span.service, span.local, out);
  AppendEndpoint("remoteEndpoint", span.remote_service, span.remote, out);
  AppendTags(span, out);
  if (span.debug) out += ",\"debug\":true";
  if (span.shared) out += ",\"shared\":true";
  out += '}';
}

}  // namespace

std::string EncodeZipkin(std::span<const Span> spans) {
  std::string out = "[";
  for (const Span& span : spans) {
    if (out.size() > 1) out += ',';
    AppendSpan(span, out);
  }
  out += ']';
  return out;
}

}  // namespace mesh::filter
