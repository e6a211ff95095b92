#include "ztunnel/waypoint/filter/trace.h"

#include <gtest/gtest.h>

namespace mesh::filter {
namespace {

using Fields = std::vector<std::pair<std::string, std::string>>;

http::HeaderMap HeadersOf(const Fields& fields) {
  http::HeaderMap out;
  for (const auto& [name, value] : fields) out.Add(name, value);
  return out;
}

constexpr char kTrace[] = "463ac35c9f6413ad48485a3953bb6124";
constexpr char kSpan[] = "a2fb4a1d1a96d312";
constexpr char kParent[] = "0020000000000001";

std::string Describe(const TraceContext& context) {
  std::string out = context.trace_id.valid() ? context.trace_id.ToHex() : "none";
  out += " " + SpanIdHex(context.span_id) + " " + SpanIdHex(context.parent_id);
  out += !context.sampled ? " ?" : *context.sampled ? " 1" : " 0";
  if (context.debug) out += "d";
  return out;
}

TEST(Trace, ReadsEachForm) {
  const std::string trace(kTrace), span(kSpan), parent(kParent);
  const std::string none = "none 0000000000000000 0000000000000000";
  const std::string no_parent = trace + " " + span + " 0000000000000000";
  const std::string with_parent = trace + " " + span + " " + parent;
  struct Case {
    Fields headers;
    std::string want;
    int forms;
  } cases[] = {
      {{}, none + " ?", 0},
      {{{"x-b3-traceid", trace},
        {"x-b3-spanid", span},
        {"x-b3-parentspanid", parent},
        {"x-b3-sampled", "1"}},
       with_parent + " 1",
       kB3Multi},
      {{{"x-b3-traceid", trace}, {"x-b3-spanid", span}}, no_parent + " ?", kB3Multi},
      {{{"x-b3-traceid", trace}, {"x-b3-spanid", span}, {"x-b3-sampled", "false"}},
       no_parent + " 0",
       kB3Multi},
      {{{"x-b3-traceid", trace}, {"x-b3-spanid", span}, {"x-b3-flags", "1"}},
       no_parent + " 1d",
       kB3Multi},
      {{{"x-b3-traceid", trace.substr(16)}, {"x-b3-spanid", span}},
       trace.substr(16) + " " + span + " 0000000000000000 ?",
       kB3Multi},
      {{{"x-b3-sampled", "0"}}, none + " 0", kB3Multi},
      {{{"x-b3-traceid", "zz"}, {"x-b3-spanid", span}}, none + " ?", 0},
      {{{"x-b3-traceid", std::string(32, '0')}, {"x-b3-spanid", span}}, none + " ?", 0},
      {{{"x-b3-traceid", trace + "0"}, {"x-b3-spanid", span}}, none + " ?", 0},
      {{{"x-b3-traceid", trace}}, none + " ?", 0},
      {{{"b3", trace + "-" + span}}, no_parent + " ?", kB3Single},
      {{{"b3", trace + "-" + span + "-1"}}, no_parent + " 1", kB3Single},
      {{{"b3", trace + "-" + span + "-0-" + parent}}, with_parent + " 0", kB3Single},
      {{{"b3", trace + "-" + span + "-d-" + parent}}, with_parent + " 1d", kB3Single},
      {{{"b3", "0"}}, none + " 0", kB3Single},
      {{{"b3", "d"}}, none + " 1d", kB3Single},
      {{{"b3", ""}}, none + " ?", 0},
      {{{"b3", "x"}}, none + " ?", 0},
      {{{"b3", trace + "-"}}, none + " ?", 0},
      {{{"b3", trace + "-" + span + "-"}}, none + " ?", 0},
      {{{"b3", trace + "-" + span + "-2"}}, none + " ?", 0},
      {{{"b3", trace + "-" + span + "-1-" + parent + "-x"}}, none + " ?", 0},
      {{{"traceparent", "00-" + trace + "-" + span + "-01"}}, no_parent + " 1", kW3c},
      {{{"traceparent", "00-" + trace + "-" + span + "-00"}}, no_parent + " 0", kW3c},
      {{{"traceparent", "cc-" + trace + "-" + span + "-01-more"}}, no_parent + " 1", kW3c},
      {{{"traceparent", "00-" + trace + "-" + span + "-01-more"}}, none + " ?", 0},
      {{{"traceparent", "ff-" + trace + "-" + span + "-01"}}, none + " ?", 0},
      {{{"traceparent", "00-" + trace + "-" + std::string(16, '0') + "-01"}}, none + " ?", 0},
      {{{"traceparent", "00-" + std::string(32, 'A') + "-" + span + "-01"}}, none + " ?", 0},
      {{{"traceparent", "00-" + trace + "-" + span + "-1"}}, none + " ?", 0},
      // Several: B3 wins, and all are written on the way out.
      {{{"traceparent", "00-" + std::string(32, '1') + "-" + span + "-00"},
        {"b3", trace + "-" + span + "-1"}},
       no_parent + " 1",
       kB3Single | kW3c},
      {{{"traceparent", "00-" + trace + "-" + span + "-01"}, {"x-b3-sampled", "0"}},
       no_parent + " 0",
       kB3Multi | kW3c},
  };
  for (const Case& c : cases) {
    const TraceContext context = ExtractTrace(HeadersOf(c.headers));
    EXPECT_EQ(Describe(context), c.want);
    EXPECT_EQ(context.headers, c.forms) << c.want;
  }
}

TEST(Trace, TheStateBelongsToTheW3cTrace) {
  const std::string parent = std::string("00-") + kTrace + "-" + kSpan + "-01";
  EXPECT_EQ(ExtractTrace(
                HeadersOf({{"traceparent", parent}, {"tracestate", "a=1"}, {"tracestate", "b=2"}}))
                .state,
            "a=1,b=2");
  EXPECT_EQ(ExtractTrace(HeadersOf({{"tracestate", "a=1"}})).state, "");
  EXPECT_EQ(ExtractTrace(HeadersOf({{"traceparent", parent},
                                    {"tracestate", "a=1"},
                                    {"b3", std::string(32, '1') + "-" + kSpan}}))
                .state,
            "");
  EXPECT_EQ(
      ExtractTrace(HeadersOf({{"traceparent", parent}, {"tracestate", std::string(513, 'a')}}))
          .state,
      "");
}

const TraceRandom kRandom{.trace_high = 0x11,
                          .trace_low = 0x22,
                          .server_span = 0x33,
                          .client_span = 0x44,
                          .sampling = 10'000};

TEST(Trace, ARootIsMadeAndSampled) {
  TraceSettings settings{.sampling_percent = 1};
  TraceDecision trace = DecideTrace({}, settings, std::nullopt, kRandom);
  EXPECT_EQ(trace.trace_id.ToHex(), "00000000000000110000000000000022");
  EXPECT_EQ(trace.server_span, 0x33u);
  EXPECT_EQ(trace.server_parent, 0u);
  EXPECT_EQ(trace.client_span, 0x44u);
  EXPECT_FALSE(trace.sampled);  // 10,000 of a million is the first that 1 % leaves out
  TraceRandom inside = kRandom;
  inside.sampling = 9'999;
  EXPECT_TRUE(DecideTrace({}, settings, std::nullopt, inside).sampled);
  EXPECT_TRUE(DecideTrace({}, settings, true, kRandom).sampled);
  EXPECT_FALSE(DecideTrace({}, settings, false, kRandom).sampled);
  EXPECT_TRUE(DecideTrace({}, settings, false, inside).sampled);
  settings.sampling_percent = 100;
  EXPECT_TRUE(DecideTrace({}, settings, std::nullopt, kRandom).sampled);
  settings.sampling_percent = 0;
  EXPECT_FALSE(DecideTrace({}, settings, std::nullopt, {}).sampled);
  const TraceDecision zeros = DecideTrace({}, settings, std::nullopt, {});
  EXPECT_TRUE(zeros.trace_id.valid() && zeros.server_span != 0 && zeros.client_span != 0);
}

TEST(Trace, TheCallersDecisionIsHonoured) {
  for (const bool sampled : {false, true}) {
    TraceContext context;
    context.trace_id = {1, 2};
    context.span_id = 3;
    context.sampled = sampled;
    const TraceDecision trace =
        DecideTrace(context, {.sampling_percent = sampled ? 0.0 : 100.0}, !sampled, kRandom);
    EXPECT_EQ(trace.sampled, sampled);
    EXPECT_EQ(trace.trace_id, context.trace_id);
    EXPECT_EQ(trace.server_parent, 3u);
  }
}

TEST(Trace, LeavesAsItCame) {
  const std::string trace(kTrace), span(kSpan);
  http::HeaderMap headers = HeadersOf(
      {{"x-b3-traceid", trace}, {"x-b3-spanid", span}, {"x-b3-sampled", "1"}, {"other", "stays"}});
  InjectTrace(DecideTrace(ExtractTrace(headers), {}, std::nullopt, kRandom), headers);
  EXPECT_EQ(headers.Joined("x-b3-traceid"), trace);
  EXPECT_EQ(headers.Joined("x-b3-spanid"), "0000000000000044");
  EXPECT_EQ(headers.Joined("x-b3-parentspanid"), "0000000000000033");
  EXPECT_EQ(headers.Joined("x-b3-sampled"), "1");
  EXPECT_FALSE(headers.Has("b3") || headers.Has("traceparent"));
  EXPECT_TRUE(headers.Has("other"));

  headers = HeadersOf({{"b3", trace + "-" + span + "-0"}});
  InjectTrace(DecideTrace(ExtractTrace(headers), {}, std::nullopt, kRandom), headers);
  EXPECT_EQ(headers.Joined("b3"), trace + "-0000000000000044-0-0000000000000033");
  EXPECT_EQ(headers.size(), 1u);

  headers = HeadersOf({{"traceparent", "00-" + trace + "-" + span + "-01"}, {"tracestate", "a=1"}});
  InjectTrace(DecideTrace(ExtractTrace(headers), {}, std::nullopt, kRandom), headers);
  EXPECT_EQ(headers.Joined("traceparent"), "00-" + trace + "-0000000000000044-01");
  EXPECT_EQ(headers.Joined("tracestate"), "a=1");

  headers = HeadersOf({{"x-b3-traceid", trace}, {"x-b3-spanid", span}, {"x-b3-flags", "1"}});
  InjectTrace(DecideTrace(ExtractTrace(headers), {}, std::nullopt, kRandom), headers);
  EXPECT_EQ(headers.Joined("x-b3-flags"), "1");
  EXPECT_FALSE(headers.Has("x-b3-sampled"));

  headers = HeadersOf({{"tracestate", "stray"}});
  InjectTrace(DecideTrace({}, {.root_headers = kW3c}, std::nullopt, kRandom), headers);
  EXPECT_EQ(headers.Joined("traceparent"),
            "00-00000000000000110000000000000022-0000000000000044-00");
  EXPECT_FALSE(headers.Has("tracestate"));
}

TEST(RequestId, IsAUuidWithItsMark) {
  std::string id = MakeRequestId(~uint64_t{0}, ~uint64_t{0});
  EXPECT_EQ(id, "ffffffff-ffff-4fff-bfff-ffffffffffff");
  EXPECT_EQ(MakeRequestId(0, 0), "00000000-0000-4000-8000-000000000000");
  EXPECT_EQ(RequestIdSampled(id), false);
  MarkRequestId(id, true);
  EXPECT_EQ(id, "ffffffff-ffff-9fff-bfff-ffffffffffff");
  EXPECT_EQ(RequestIdSampled(id), true);
  MarkRequestId(id, false);
  EXPECT_EQ(RequestIdSampled(id), false);
  for (const char mark : {'a', 'b'}) {
    id[14] = mark;
    EXPECT_EQ(RequestIdSampled(id), true);
  }
  EXPECT_EQ(RequestIdRandom("0000000a-0000-4000-8000-000000000000"), 10u);
}

TEST(RequestId, OthersAreLeftAlone) {
  for (std::string id : {"", "my-id", "ffffffff-ffff-4fff-bfff-fffffffffffg",
                         "ffffffffffffff4fffffbfffffffffffffff"}) {
    const std::string before = id;
    EXPECT_EQ(RequestIdSampled(id), std::nullopt);
    MarkRequestId(id, true);
    EXPECT_EQ(id, before);
    EXPECT_EQ(RequestIdRandom(id), 0u);
  }
}

}  // namespace
}  // namespace mesh::filter
