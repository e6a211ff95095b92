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

// Which headers the caller used, and so the way out: an or of them.
enum TraceHeaders : uint8_t { kB3Multi = 1, kB3Single = 2, kW3c = 4 };

struct TraceContext {
  TraceId trace_id;
  uint64_t span_id = 0;         // the caller's span
  uint64_t parent_id = 0;       // of the caller's span; 0: none or not told
  std::optional<bool> sampled;  // none: the decision is ours
  bool debug = false;           // x-b3-flags: 1; sampled
  std::string state;            // tracestate, as it came
  uint8_t headers = 0;          // TraceHeaders
};

// Malformed headers count as absent. Of several that do not agree: B3 in one header, then B3 in
// several, then W3C.
TraceContext ExtractTrace(const http::HeaderMap& headers);

// The random numbers of a request. `sampling` may be RequestIdRandom, so that all hops that see one
// request id decide alike.
struct TraceRandom {
  uint64_t trace_high = 0, trace_low = 0, server_span = 0, client_span = 0;
  uint64_t sampling = 0;
};

struct TraceSettings {
  double sampling_percent = 1;      // of traces that begin here
  uint8_t root_headers = kB3Multi;  // of a trace that begins here (W3C for OTLP)
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
  uint8_t headers = 0;  // TraceHeaders
};
// `request_id_sampled`: what the request id says (x-request-id of a request that was traced
// before).
TraceDecision DecideTrace(const TraceContext& context, const TraceSettings& settings,
                          std::optional<bool> request_id_sampled, const TraceRandom& random);

// Replaces what the request carries by the client span, so the endpoint's parent is that span.
// (Not to be called when the context is not to be propagated.)
void InjectTrace(const TraceDecision& decision, http::HeaderMap& headers);

// ---- x-request-id

// UUID version 4 of 128 random bits.
std::string MakeRequestId(uint64_t high, uint64_t low);
// The sampling bit as Envoy keeps it: digit 14 is '4' not traced, '9' sampled, 'a' by the service,
// 'b' by the client. Nothing when `id` is no UUID.
std::optional<bool> RequestIdSampled(std::string_view id);
void MarkRequestId(std::string& id, bool sampled);
// The first 32 bits; 0 when `id` is no UUID.
uint64_t RequestIdRandom(std::string_view id);

}  // namespace mesh::filter
