// Trace context of a request: B3 (several headers or one) and W3C, in and out, and x-request-id.
// Pure: randomness is an argument.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "ztunnel/waypoint/http/header_map.h"

namespace mesh::filter {

struct TraceId {
  uint64_t high = 0, low = 0;  // high 0: 64 bits

  bool valid() const { return high != 0 || low != 0; }
  std::string ToHex() const;    // 16 or 32 digits
  std::string ToHex32() const;  // always 32
  bool operator==(const TraceId&) const = default;
};
std::string SpanIdHex(uint64_t id);  // 16 digits

// Which headers the caller used; the way out uses the same, and B3 when there were none.
enum class TraceHeaders : uint8_t { kNone, kB3Multi, kB3Single, kW3c };

struct TraceContext {
  TraceId trace_id;
  uint64_t span_id = 0;         // the caller's span
  uint64_t parent_id = 0;       // of the caller's span; 0: none or not told
  std::optional<bool> sampled;  // none: the decision is ours
  bool debug = false;           // x-b3-flags: 1; sampled
  std::string state;            // tracestate, as it came
  TraceHeaders headers = TraceHeaders::kNone;
};

// Malformed headers count as absent. B3 wins over W3C when both are there and agree not.
TraceContext ExtractTrace(const http::HeaderMap& headers);

// The four random numbers of a request.
struct TraceRandom {
  uint64_t trace_high = 0, trace_low = 0, server_span = 0, client_span = 0;
  uint64_t sampling = 0;
};

struct TraceSettings {
  double sampling_percent = 1;
  bool propagate = true;
  bool client_spans = true;  // a span of the waypoint as the endpoint's client
};

// The spans of the waypoint for one request.
struct TraceDecision {
  TraceId trace_id;
  uint64_t server_span = 0;
  uint64_t server_parent = 0;  // 0: root
  uint64_t client_span = 0;    // its parent is the server span
  bool sampled = false;
  bool debug = false;
  std::string state;
  TraceHeaders headers = TraceHeaders::kNone;
};
// `request_id_sampled`: what the request id says (x-request-id of a request that was traced
// before).
TraceDecision DecideTrace(const TraceContext& context, const TraceSettings& settings,
                          std::optional<bool> request_id_sampled, const TraceRandom& random);

// Replaces what the request carries by the client span (so the endpoint's parent is that span).
void InjectTrace(const TraceDecision& decision, http::HeaderMap& headers);

// ---- x-request-id

// UUID version 4 of 128 random bits.
std::string MakeRequestId(uint64_t high, uint64_t low);
// The sampling bit as Envoy keeps it: digit 14 is '4' not traced, '9' sampled, 'a' by the service,
// 'b' by the client. Nothing when `id` is no UUID.
std::optional<bool> RequestIdSampled(std::string_view id);
void MarkRequestId(std::string& id, bool sampled);

}  // namespace mesh::filter
