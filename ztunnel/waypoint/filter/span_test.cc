#include "ztunnel/waypoint/filter/span.h"

#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/json_util.h>
#include <gtest/gtest.h>

#include "proto/otlp.pb.h"
#include "ztunnel/waypoint/filter/json_text.h"

namespace mesh::filter {
namespace {

Span ServerSpan() {
  Span span;
  span.trace_id = {0x463ac35c9f6413ad, 0x48485a3953bb6124};
  span.id = 0x33;
  span.parent = 0xa2fb4a1d1a96d312;
  span.name = "reviews.default.svc.cluster.local:9080/*";
  span.service = "reviews.default";
  span.local = SocketAddress::Parse("10.1.0.2:9080");
  span.remote = SocketAddress::Parse("[fd00::7]:4711");
  span.remote_service = "web";
  span.start = absl::FromUnixMicros(1'700'000'000'123'456);
  span.duration = absl::Milliseconds(12);
  span.tags = {{"http.method", "GET"}, {"quote", "a\"b"}};
  return span;
}

TEST(Zipkin, WritesVersionTwo) {
  Span client = ServerSpan();
  client.kind = Span::Kind::kClient;
  client.id = 0x44;
  client.parent = 0;
  client.trace_id.high = 0;
  client.name.clear();
  client.remote.reset();
  client.remote_service.clear();
  client.local = SocketAddress{*IpAddress::Parse("10.1.0.2"), 0};
  client.duration = absl::ZeroDuration();
  client.tags.clear();
  client.error = client.debug = client.shared = true;
  const Span spans[] = {ServerSpan(), client};
  EXPECT_EQ(EncodeZipkin(spans),
            R"([{"traceId":"463ac35c9f6413ad48485a3953bb6124","id":"0000000000000033",)"
            R"("parentId":"a2fb4a1d1a96d312","kind":"SERVER",)"
            R"("name":"reviews.default.svc.cluster.local:9080/*",)"
            R"("timestamp":1700000000123456,"duration":12000,)"
            R"("localEndpoint":{"serviceName":"reviews.default","ipv4":"10.1.0.2","port":9080},)"
            R"("remoteEndpoint":{"serviceName":"web","ipv6":"fd00::7","port":4711},)"
            R"("tags":{"http.method":"GET","quote":"a\"b"}},)"
            R"({"traceId":"48485a3953bb6124","id":"0000000000000044","kind":"CLIENT",)"
            R"("timestamp":1700000000123456,"duration":1,)"
            R"("localEndpoint":{"serviceName":"reviews.default","ipv4":"10.1.0.2"},)"
            R"("tags":{"error":"true"},"debug":true,"shared":true}])");
  EXPECT_EQ(EncodeZipkin({}), "[]");
}

TEST(Zipkin, StaysJsonWhateverTheTags) {
  Span span = ServerSpan();
  std::string bytes;
  for (int c = 0; c < 256; ++c) bytes += static_cast<char>(c);
  span.name = span.service = span.remote_service = bytes;
  span.tags = {{bytes, bytes}};
  google::protobuf::ListValue parsed;
  const auto status =
      google::protobuf::util::JsonStringToMessage(EncodeZipkin({&span, 1}), &parsed);
  ASSERT_TRUE(status.ok()) << status.ToString();
  EXPECT_EQ(parsed.values(0).struct_value().fields().at("kind").string_value(), "SERVER");
}

TEST(JsonText, EscapesAndReplaces) {
  const std::pair<std::string, const char*> cases[] = {
      {"", R"("")"},
      {"a\"b\\c", R"("a\"b\\c")"},
      {std::string("\0\n\x1f\x7f", 4), R"("\u0000\u000a\u001f\u007f")"},
      {"\xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80", "\"\xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80\""},
      {"\xff", R"("\ufffd")"},
      {"\xc0\x80", R"("\ufffd\ufffd")"},                      // overlong
      {"\xed\xa0\x80", R"("\ufffd\ufffd\ufffd")"},            // a surrogate
      {"\xf4\x90\x80\x80", R"("\ufffd\ufffd\ufffd\ufffd")"},  // above U+10FFFF
      {"\xe2\x82", R"("\ufffd\ufffd")"},                      // cut off
      {"\xc3x", R"("\ufffdx")"},
  };
  for (const auto& [text, want] : cases) {
    std::string out;
    AppendJsonString(text, out);
    EXPECT_EQ(out, want);
  }
}

TEST(Otlp, GroupsByServiceAndKeepsTheStandardsForm) {
  Span client = ServerSpan();
  client.kind = Span::Kind::kClient;
  client.parent = 0;
  client.service = "other";
  client.error = true;
  client.trace_state = "a=1";
  client.tags = {{"x", "\xff"}};
  const Span spans[] = {ServerSpan(), client, ServerSpan()};
  otlp::ExportTraceServiceRequest request;
  ASSERT_TRUE(request.ParseFromString(EncodeOtlp(spans)));
  ASSERT_EQ(request.resource_spans_size(), 2);
  const auto& first = request.resource_spans(0);
  EXPECT_EQ(first.resource().attributes(0).key(), "service.name");
  EXPECT_EQ(first.resource().attributes(0).value().string_value(), "reviews.default");
  ASSERT_EQ(first.scope_spans(0).spans_size(), 2);
  const otlp::Span& server = first.scope_spans(0).spans(0);
  EXPECT_EQ(server.trace_id(), std::string("\x46\x3a\xc3\x5c\x9f\x64\x13\xad\x48\x48\x5a\x39\x53"
                                           "\xbb\x61\x24"));
  EXPECT_EQ(server.span_id(), std::string("\0\0\0\0\0\0\0\x33", 8));
  EXPECT_EQ(server.parent_span_id(), "\xa2\xfb\x4a\x1d\x1a\x96\xd3\x12");
  EXPECT_EQ(server.kind(), otlp::Span::SPAN_KIND_SERVER);
  EXPECT_EQ(server.start_time_unix_nano(), 1'700'000'000'123'456'000u);
  EXPECT_EQ(server.end_time_unix_nano(), 1'700'000'000'135'456'000u);
  EXPECT_FALSE(server.has_status());
  const otlp::Span& second = request.resource_spans(1).scope_spans(0).spans(0);
  EXPECT_EQ(second.kind(), otlp::Span::SPAN_KIND_CLIENT);
  EXPECT_EQ(second.parent_span_id(), "");
  EXPECT_EQ(second.trace_state(), "a=1");
  EXPECT_EQ(second.status().code(), otlp::Status::STATUS_CODE_ERROR);
  EXPECT_EQ(second.attributes(0).value().string_value(), "?");
}

// The numbers of the standard, as they are on the wire.
TEST(Otlp, FieldNumbersAreTheStandards) {
  const auto number = [](const google::protobuf::Descriptor* message, const char* field) {
    return message->FindFieldByName(field)->number();
  };
  const auto* span = otlp::Span::descriptor();
  const std::pair<const char*, int> numbers[] = {{"trace_id", 1},
                                                 {"span_id", 2},
                                                 {"trace_state", 3},
                                                 {"parent_span_id", 4},
                                                 {"name", 5},
                                                 {"kind", 6},
                                                 {"start_time_unix_nano", 7},
                                                 {"end_time_unix_nano", 8},
                                                 {"attributes", 9},
                                                 {"status", 15},
                                                 {"flags", 16}};
  for (const auto& [field, want] : numbers) EXPECT_EQ(number(span, field), want) << field;
  EXPECT_EQ(number(otlp::Status::descriptor(), "code"), 3);
  EXPECT_EQ(number(otlp::ResourceSpans::descriptor(), "scope_spans"), 2);
  EXPECT_EQ(number(otlp::ScopeSpans::descriptor(), "spans"), 2);
  EXPECT_EQ(number(otlp::KeyValue::descriptor(), "value"), 2);
}

}  // namespace
}  // namespace mesh::filter
