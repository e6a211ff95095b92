// Spans and their two encodings: Zipkin v2 JSON and OTLP protobuf, both for HTTP POST.
#pragma once

#include <absl/time/time.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ztunnel/base/ip.h"
#include "ztunnel/waypoint/filter/trace.h"

namespace mesh::filter {

struct Span {
  enum class Kind : uint8_t { kServer, kClient };

  TraceId trace_id;
  uint64_t id = 0;
  uint64_t parent = 0;  // 0: root
  Kind kind = Kind::kServer;
  bool debug = false;
  bool shared = false;  // the client's span has the same id (Zipkin)
  bool error = false;
  std::string name;
  std::string service;  // of the local endpoint
  std::optional<SocketAddress> local, remote;
  std::string remote_service;
  absl::Time start;
  absl::Duration duration;
  std::string trace_state;
  std::vector<std::pair<std::string, std::string>> tags;
};

// The body of POST /api/v2/spans, application/json.
std::string EncodeZipkin(std::span<const Span> spans);
// The body of POST /v1/traces, application/x-protobuf: an ExportTraceServiceRequest. Spans of one
// service share a resource.
std::string EncodeOtlp(std::span<const Span> spans);

}  // namespace mesh::filter
