#include "ztunnel/waypoint/filter/trace.h"

#include <algorithm>

#include "ztunnel/waypoint/filter/trace_text.h"

namespace mesh::filter {
namespace {

constexpr size_t kMaxState = 512;  // W3C: at least that much is passed on

// 16 or 32 digits (shorter ones are padded, as old clients leave zeros out); not all zero.
std::optional<TraceId> ParseTraceId(std::string_view text, bool any_case) {
  if (text.empty() || text.size() > 32) return std::nullopt;
  const size_t low_size = std::min<size_t>(text.size(), 16);
  const std::string_view high_text = text.substr(0, text.size() - low_size);
  const auto low = ParseHex64(text.substr(text.size() - low_size), any_case);
  const auto high =
      high_text.empty() ? std::optional<uint64_t>(0) : ParseHex64(high_text, any_case);
  if (!low || !high) return std::nullopt;
  const TraceId id{*high, *low};
  return id.valid() ? std::optional(id) : std::nullopt;
}

std::optional<uint64_t> ParseSpanId(std::string_view text, bool any_case) {
  const auto id = ParseHex64(text, any_case);
  return id && *id != 0 ? id : std::nullopt;
}

// Of B3: sampled or not; debug is sampled, too.
struct Sampling {
  std::optional<bool> sampled;
  bool debug = false;
};
std::optional<Sampling> ParseSampling(std::string_view text) {
  if (text == "1" || text == "true") return Sampling{true, false};
  if (text == "0" || text == "false") return Sampling{false, false};
  if (text == "d") return Sampling{true, true};
  return std::nullopt;
}

// What stands before the next '-', which is taken too.
std::string_view TakePart(std::string_view& text) {
  const size_t dash = std::min(text.find('-'), text.size());
  const std::string_view part = text.substr(0, dash);
  text.remove_prefix(std::min(dash + 1, text.size()));
  return part;
}

// b3: trace-span[-sampled[-parent]], or the sampling alone.
std::optional<TraceContext> ParseB3Single(std::string_view text) {
  TraceContext out;
  if (text.find('-') == text.npos) {
    const auto sampling = ParseSampling(text);
    if (!sampling) return std::nullopt;
    out.sampled = sampling->sampled;
    out.debug = sampling->debug;
    return out;
  }
  if (text.back() == '-') return std::nullopt;
  const auto trace = ParseTraceId(TakePart(text), true);
  const auto span = ParseSpanId(TakePart(text), true);
  if (!trace || !span) return std::nullopt;
  out.trace_id = *trace;
  out.span_id = *span;
  if (!text.empty()) {
    const auto sampling = ParseSampling(TakePart(text));
    if (!sampling) return std::nullopt;
    out.sampled = sampling->sampled;
    out.debug = sampling->debug;
  }
  if (!text.empty()) {
    const auto parent = ParseSpanId(TakePart(text), true);
    if (!parent || !text.empty()) return std::nullopt;
    out.parent_id = *parent;
  }
  return out;
}

std::optional<TraceContext> ParseB3Multi(const http::HeaderMap& headers) {
  TraceContext out;
  if (const auto sampled = headers.Find("x-b3-sampled")) {
    if (const auto sampling = ParseSampling(*sampled)) {
      out.sampled = sampling->sampled;
      out.debug = sampling->debug;
    }
  }
  if (headers.Find("x-b3-flags") == "1") {
    out.debug = true;
    out.sampled = true;
  }
  const auto trace_text = headers.Find("x-b3-traceid"), span_text = headers.Find("x-b3-spanid");
  const auto trace = trace_text ? ParseTraceId(*trace_text, true) : std::nullopt;
  const auto span = span_text ? ParseSpanId(*span_text, true) : std::nullopt;
  if (trace && span) {
    out.trace_id = *trace;
    out.span_id = *span;
    if (const auto parent = headers.Find("x-b3-parentspanid"))
      out.parent_id = ParseSpanId(*parent, true).value_or(0);
  }
  if (!out.trace_id.valid() && !out.sampled) return std::nullopt;
  return out;
}

// traceparent: version-trace-span-flags; a version above 00 may have more behind.
std::optional<TraceContext> ParseW3c(std::string_view text) {
  if (text.size() < 55 || text[2] != '-' || text[35] != '-' || text[52] != '-') return std::nullopt;
  const auto version = ParseHex64(text.substr(0, 2), false);
  if (!version || *version == 0xff) return std::nullopt;
  if (text.size() > 55 && (*version == 0 || text[55] != '-')) return std::nullopt;
  const auto trace = ParseTraceId(text.substr(3, 32), false);
  const auto span = ParseSpanId(text.substr(36, 16), false);
  const auto flags = ParseHex64(text.substr(53, 2), false);
  if (!trace || !span || !flags) return std::nullopt;
  TraceContext out;
  out.trace_id = *trace;
  out.span_id = *span;
  out.sampled = (*flags & 1) != 0;
  return out;
}

bool Takes(double percent, uint64_t random) {
  constexpr uint64_t kParts = 1'000'000;
  const double part = std::clamp(percent, 0.0, 100.0) / 100.0 * static_cast<double>(kParts);
  return static_cast<double>(random % kParts) < part;
}

uint64_t NotZero(uint64_t random) { return random == 0 ? 1 : random; }

void InjectB3Multi(const TraceDecision& trace, http::HeaderMap& headers) {
  headers.Set("x-b3-traceid", trace.trace_id.ToHex());
  headers.Set("x-b3-spanid", SpanIdHex(trace.client_span));
  headers.Set("x-b3-parentspanid", SpanIdHex(trace.server_span));
  if (trace.debug) {  // says that it is sampled
    headers.Set("x-b3-flags", "1");
    headers.Remove("x-b3-sampled");
  } else {
    headers.Set("x-b3-sampled", trace.sampled ? "1" : "0");
    headers.Remove("x-b3-flags");
  }
}

void InjectB3Single(const TraceDecision& trace, http::HeaderMap& headers) {
  std::string text = trace.trace_id.ToHex() + "-" + SpanIdHex(trace.client_span);
  text += trace.debug ? "-d-" : trace.sampled ? "-1-" : "-0-";
  text += SpanIdHex(trace.server_span);
  headers.Set("b3", text);
}

void InjectW3c(const TraceDecision& trace, http::HeaderMap& headers) {
  headers.Set("traceparent", "00-" + trace.trace_id.ToHex32() + "-" + SpanIdHex(trace.client_span) +
                                 (trace.sampled ? "-01" : "-00"));
  if (trace.state.empty())
    headers.Remove("tracestate");
  else
    headers.Set("tracestate", trace.state);
}

}  // namespace

std::optional<uint64_t> ParseHex64(std::string_view text, bool any_case) {
  if (text.empty() || text.size() > 16) return std::nullopt;
  uint64_t value = 0;
  for (const char c : text) {
    int digit = -1;
    if (c >= '0' && c <= '9') digit = c - '0';
    if (c >= 'a' && c <= 'f') digit = c - 'a' + 10;
    if (any_case && c >= 'A' && c <= 'F') digit = c - 'A' + 10;
    if (digit < 0) return std::nullopt;
    value = value << 4 | static_cast<uint64_t>(digit);
  }
  return value;
}

void AppendHex64(uint64_t value, std::string& out) {
  constexpr char kDigits[] = "0123456789abcdef";
  for (int shift = 60; shift >= 0; shift -= 4) out += kDigits[value >> shift & 15];
}

std::string TraceId::ToHex() const {
  if (high != 0) return ToHex32();
  return SpanIdHex(low);
}

std::string TraceId::ToHex32() const {
  std::string out;
  AppendHex64(high, out);
  AppendHex64(low, out);
  return out;
}

std::string SpanIdHex(uint64_t id) {
  std::string out;
  AppendHex64(id, out);
  return out;
}

TraceContext ExtractTrace(const http::HeaderMap& headers) {
  const auto single_text = headers.Find("b3"), w3c_text = headers.Find("traceparent");
  const auto single =
      single_text && !single_text->empty() ? ParseB3Single(*single_text) : std::nullopt;
  const auto multi = ParseB3Multi(headers);
  const auto w3c = w3c_text ? ParseW3c(*w3c_text) : std::nullopt;
  TraceContext out;
  // The first that says which trace it is; else the first that says whether it is sampled.
  for (const auto* context : {&single, &multi, &w3c}) {
    if (!*context) continue;
    const bool better = (*context)->trace_id.valid() && !out.trace_id.valid();
    if (better || (!out.trace_id.valid() && !out.sampled)) {
      const TraceContext before = std::move(out);
      out = **context;
      if (before.sampled) {
        out.sampled = before.sampled;
        out.debug = before.debug;
      }
    }
  }
  if (w3c && w3c->trace_id == out.trace_id) {
    const auto state = headers.Joined("tracestate");
    if (state && state->size() <= kMaxState) out.state = *state;
  }
  out.headers =
      static_cast<uint8_t>((single ? kB3Single : 0) | (multi ? kB3Multi : 0) | (w3c ? kW3c : 0));
  return out;
}

TraceDecision DecideTrace(const TraceContext& context, const TraceSettings& settings,
                          std::optional<bool> request_id_sampled, const TraceRandom& random) {
  TraceDecision out;
  if (context.trace_id.valid()) {
    out.trace_id = context.trace_id;
    out.server_parent = context.span_id;
    out.state = context.state;
  } else {
    out.trace_id = {random.trace_high, NotZero(random.trace_low)};
  }
  out.server_span = NotZero(random.server_span);
  out.client_span = NotZero(random.client_span);
  out.debug = context.debug;
  if (context.sampled)
    out.sampled = *context.sampled;
  else if (request_id_sampled == true)
    out.sampled = true;
  else
    out.sampled = Takes(settings.sampling_percent, random.sampling);
  out.headers = context.headers != 0 ? context.headers : settings.root_headers;
  return out;
}

void InjectTrace(const TraceDecision& decision, http::HeaderMap& headers) {
  if ((decision.headers & kB3Multi) != 0) InjectB3Multi(decision, headers);
  if ((decision.headers & kB3Single) != 0) InjectB3Single(decision, headers);
  if ((decision.headers & kW3c) != 0) InjectW3c(decision, headers);
}

}  // namespace mesh::filter
