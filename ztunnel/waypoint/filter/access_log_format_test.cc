#include "ztunnel/waypoint/filter/access_log_format.h"

#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/json_util.h>
#include <gtest/gtest.h>

namespace mesh::filter {
namespace {

class AccessLog : public testing::Test {
 protected:
  AccessLog() {
    request_.method = "GET";
    request_.scheme = "http";
    request_.authority = "reviews:9080";
    request_.path = "/rewritten";
    request_.headers.Add("x-envoy-original-path", "/original?q=1");
    request_.headers.Add("user-agent", "curl/8");
    request_.headers.Add("x-request-id", "the-id");
    response_.status = 503;
    response_.headers.Add("x-envoy-upstream-service-time", "7");
    facts_.request = &request_;
    facts_.response = &response_;
    facts_.flags = route::kUpstreamConnectFailure | route::kUpstreamRetryLimit;
    facts_.response_code_details = "upstream_reset";
    facts_.bytes_received = 3;
    facts_.bytes_sent = 4;
    facts_.start = absl::FromUnixMillis(1'700'000'000'123);
    facts_.duration = absl::Milliseconds(12);
    facts_.upstream_host = SocketAddress::Parse("10.1.0.9:9080");
    facts_.upstream_cluster = "outbound|9080||reviews";
    facts_.downstream_remote = SocketAddress::Parse("10.1.0.7:4711");
    facts_.route_name = "default";
  }

  http::RequestHead request_;
  http::ResponseHead response_;
  route::Facts facts_;
};

std::string Line(const AccessLogFormat& format, const route::Facts& facts) {
  std::string out;
  format.Append(facts, out);
  return out;
}

TEST_F(AccessLog, TextIsEnvoysDefault) {
  EXPECT_EQ(Line(AccessLogFormat::Text(), facts_),
            "[2023-11-14T22:13:20.123Z] \"GET /original?q=1 HTTP/1.1\" 503 UF,URX upstream_reset - "
            "\"-\" 3 4 12 7 \"-\" \"curl/8\" \"the-id\" \"reviews:9080\" \"10.1.0.9:9080\" "
            "outbound|9080||reviews - - 10.1.0.7:4711 - default\n");
}

TEST_F(AccessLog, WithoutAnythingThereAreDashes) {
  EXPECT_EQ(Line(AccessLogFormat::Text(), {}),
            "[-] \"- - -\" 0 - - - \"-\" 0 0 - - \"-\" \"-\" \"-\" \"-\" \"-\" - - - - - -\n");
}

TEST_F(AccessLog, TextCannotBeForged) {
  request_.headers.Set("user-agent", "a\" 200 \\ \x7f");
  EXPECT_NE(Line(AccessLogFormat::Text(), facts_).find(R"("a\x22 200 \x5c \x7f" "the-id")"),
            std::string::npos);
}

TEST_F(AccessLog, JsonHasNumbersAndNulls) {
  EXPECT_EQ(Line(AccessLogFormat::Json(), facts_),
            R"({"start_time":"2023-11-14T22:13:20.123Z","method":"GET","path":"/original?q=1",)"
            R"("protocol":"HTTP/1.1","response_code":503,"response_flags":"UF,URX",)"
            R"("response_code_details":"upstream_reset","connection_termination_details":null,)"
            R"("upstream_transport_failure_reason":null,"bytes_received":3,"bytes_sent":4,)"
            R"("duration":12,"upstream_service_time":"7","x_forwarded_for":null,)"
            R"("user_agent":"curl/8","request_id":"the-id","authority":"reviews:9080",)"
            R"("upstream_host":"10.1.0.9:9080","upstream_cluster":"outbound|9080||reviews",)"
            R"("upstream_local_address":null,"downstream_local_address":null,)"
            R"("downstream_remote_address":"10.1.0.7:4711","requested_server_name":null,)"
            R"("route_name":"default"})"
            "\n");
}

TEST_F(AccessLog, JsonStaysJson) {
  std::string bytes;
  for (int c = 0; c < 256; ++c) bytes += static_cast<char>(c);
  request_.headers.Set("user-agent", bytes);
  request_.headers.Set("x-envoy-original-path", bytes);
  for (const route::Facts& facts : {facts_, route::Facts()}) {
    google::protobuf::Struct parsed;
    EXPECT_TRUE(
        google::protobuf::util::JsonStringToMessage(Line(AccessLogFormat::Json(), facts), &parsed)
            .ok());
    EXPECT_EQ(parsed.fields_size(), 24);
  }
}

}  // namespace
}  // namespace mesh::filter
