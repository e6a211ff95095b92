// Any trace headers: what is read is written back so that the next hop reads the same trace, with
// our client span as its parent. The input is lines "name:value"; the first byte sets the
// randomness.
#include <cstdint>
#include <string>
#include <string_view>

#include "ztunnel/waypoint/filter/trace.h"

namespace {

using namespace mesh;

http::HeaderMap HeadersOf(std::string_view text) {
  http::HeaderMap headers;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const size_t colon = line.find(':');
    if (colon == line.npos || !http::IsFieldValue(line.substr(colon + 1))) continue;
    headers.AddFromWire(line.substr(0, colon), line.substr(colon + 1));
  }
  return headers;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  http::HeaderMap headers = HeadersOf({reinterpret_cast<const char*>(data) + 1, size - 1});
  const filter::TraceContext context = filter::ExtractTrace(headers);
  const filter::TraceRandom random{1, data[0], 3, data[0], data[0] * 4000u};
  std::string id(headers.Find("x-request-id").value_or(""));
  const filter::TraceDecision decision =
      filter::DecideTrace(context, {}, filter::RequestIdSampled(id), random);
  if (context.sampled && *context.sampled != decision.sampled) __builtin_trap();
  filter::InjectTrace(decision, headers);
  const filter::TraceContext next = filter::ExtractTrace(headers);
  if (next.trace_id != decision.trace_id || next.span_id != decision.client_span ||
      next.sampled != decision.sampled)
    __builtin_trap();
  const bool was_uuid = filter::RequestIdSampled(id).has_value();
  filter::MarkRequestId(id, decision.sampled);
  if (was_uuid && filter::RequestIdSampled(id) != decision.sampled) __builtin_trap();
  return 0;
}
