#include <fmt/format.h>

#include <map>

#include "proto/otlp.pb.h"
#include "ztunnel/waypoint/filter/span.h"

namespace mesh::filter {
namespace {

std::string BigEndian(uint64_t value) {
  std::string out;
  for (int shift = 56; shift >= 0; shift -= 8) out += static_cast<char>(value >> shift);
  return out;
}

// Proto text must be UTF-8: a collector refuses the whole batch otherwise.
std::string Utf8(std::string_view text) {
  std::string out;
  for (const char c : text) out += static_cast<unsigned char>(c) < 0x80 ? c : '?';
  return out;
}

void AddAttribute(std::string_view name, std::string_view value,
                  google::protobuf::RepeatedPtrField<otlp::KeyValue>& out) {
  otlp::KeyValue& attribute = *out.Add();
  attribute.set_key(Utf8(name));
  attribute.mutable_value()->set_string_value(Utf8(value));
}

void AddAddress(std::string_view address_name, std::string_view port_name,
                const std::optional<SocketAddress>& address,
                google::protobuf::RepeatedPtrField<otlp::KeyValue>& out) {
  if (!address) return;
  AddAttribute(address_name, address->ip.ToString(), out);
  otlp::KeyValue& port = *out.Add();
  port.set_key(std::string(port_name));
  port.mutable_value()->set_int_value(address->port);
}

void Encode(const Span& span, otlp::Span& out) {
  const bool server = span.kind == Span::Kind::kServer;
  out.set_trace_id(BigEndian(span.trace_id.high) + BigEndian(span.trace_id.low));
  out.set_span_id(BigEndian(span.id));
  if (span.parent != 0) out.set_parent_span_id(BigEndian(span.parent));
  out.set_trace_state(Utf8(span.trace_state));
  out.set_name(Utf8(span.name));
  out.set_kind(server ? otlp::Span::SPAN_KIND_SERVER : otlp::Span::SPAN_KIND_CLIENT);
  out.set_start_time_unix_nano(static_cast<uint64_t>(absl::ToUnixNanos(span.start)));
  out.set_end_time_unix_nano(static_cast<uint64_t>(absl::ToUnixNanos(span.start + span.duration)));
  out.set_flags(1);
  for (const auto& [name, value] : span.tags) AddAttribute(name, value, *out.mutable_attributes());
  // Semantic conventions: the server is at server.*, the client at client.*, whoever reports.
  AddAddress(server ? "server.address" : "client.address", server ? "server.port" : "client.port",
             span.local, *out.mutable_attributes());
  AddAddress(server ? "client.address" : "server.address", server ? "client.port" : "server.port",
             span.remote, *out.mutable_attributes());
  if (!span.remote_service.empty())
    AddAttribute("peer.service", span.remote_service, *out.mutable_attributes());
  if (span.error) out.mutable_status()->set_code(otlp::Status::STATUS_CODE_ERROR);
}

}  // namespace

std::string EncodeOtlp(std::span<const Span> spans) {
  otlp::ExportTraceServiceRequest request;
  std::map<std::string_view, otlp::ScopeSpans*> by_service;
  for (const Span& span : spans) {
    otlp::ScopeSpans*& scope = by_service[span.service];
    if (scope == nullptr) {
      otlp::ResourceSpans& resource = *request.add_resource_spans();
      AddAttribute("service.name", span.service,
                   *resource.mutable_resource()->mutable_attributes());
      scope = resource.add_scope_spans();
      scope->mutable_scope()->set_name("culvert.waypoint");
      scope->mutable_scope()->set_version(MESH_VERSION);
    }
    Encode(span, *scope->add_spans());
  }
  return request.SerializeAsString();
}

}  // namespace mesh::filter
