#include "ztunnel/waypoint/route/substitution.h"

#include <gtest/gtest.h>

namespace mesh::route {
namespace {

class Substitution : public testing::Test {
 protected:
  Substitution() {
    request_.method = "GET";
    request_.scheme = "http";
    request_.authority = "reviews:9080";
    request_.path = "/x?q";
    request_.version = http::Version::kHttp2;
    request_.headers.Add("user-agent", "curl/8");
    request_.headers.Add("accept", "a");
    request_.headers.Add("accept", "b");
    response_.status = 503;
    response_.headers.Add("server", "s");
    trailers_.Add("grpc-status", "14");
    facts_.request = &request_;
    facts_.response = &response_;
    facts_.trailers = &trailers_;
    facts_.downstream_remote = SocketAddress::Parse("10.1.0.7:4711");
    facts_.downstream_direct_remote = SocketAddress::Parse("[fd00::7]:4712");
    facts_.downstream_local = SocketAddress::Parse("10.96.0.1:9080");
    facts_.upstream_host = SocketAddress::Parse("10.1.0.9:9080");
    facts_.downstream_peer = "spiffe://cluster.local/ns/a/sa/b";
    facts_.route_name = "r";
    facts_.flags = kNoHealthyUpstream | kUpstreamRetryLimit;
    facts_.bytes_sent = 12;
    facts_.attempts = 3;
    facts_.start = absl::FromUnixMillis(1'700'000'000'123);
    facts_.duration = absl::Milliseconds(45);
    facts_.response_duration = absl::Milliseconds(40);
  }

  std::string Text(std::string_view text) {
    auto parsed = Template::Parse(text);
    EXPECT_TRUE(parsed.ok()) << text << parsed.status();
    return parsed.ok() ? parsed->Text(facts_) : "";
  }

  http::RequestHead request_;
  http::ResponseHead response_;
  http::HeaderMap trailers_;
  Facts facts_;
};

TEST_F(Substitution, SaysWhatIsKnown) {
  const std::pair<const char*, const char*> cases[] = {
      {"", ""},
      {"plain", "plain"},
      {"100%%", "100%"},
      {"a%PROTOCOL%b", "aHTTP/2b"},
      {"%REQ(User-Agent)%", "curl/8"},
      {"%REQ(USER-AGENT):4%", "curl"},
      {"%REQ(accept)%", "a,b"},
      {"%REQ(:method)% %REQ(:AUTHORITY)% %REQ(:scheme)% %REQ(:path)%",
       "GET reviews:9080 http /x?q"},
      {"%REQ(x-envoy-original-path?:path)%", "/x?q"},
      {"%REQ(absent)%", "-"},
      {"%REQ(:nothing)%", "-"},
      {"%RESP(Server)% %RESP(:status)%", "s 503"},
      {"%TRAILER(grpc-status)%", "14"},
      {"%GRPC_STATUS% %GRPC_STATUS(NUMBER)% %GRPC_STATUS_NUMBER%", "Unavailable 14 14"},
      {"%RESPONSE_CODE%", "503"},
      {"%RESPONSE_FLAGS%", "UH,URX"},
      {"%RESPONSE_CODE_DETAILS%", "-"},
      {"%BYTES_SENT%/%BYTES_RECEIVED%", "12/0"},
      {"%DURATION% %RESPONSE_DURATION% %RESPONSE_TX_DURATION% %REQUEST_DURATION%", "45 40 5 -"},
      {"%START_TIME%", "2023-11-14T22:13:20.123Z"},
      {"%START_TIME(%Y/%m/%d %s.%3f)%", "2023/11/14 1700000000.123"},
      {"%START_TIME(%H)%", "22"},
      {"%UPSTREAM_HOST% %UPSTREAM_REMOTE_PORT%", "10.1.0.9:9080 9080"},
      {"%UPSTREAM_LOCAL_ADDRESS%", "-"},
      {"%DOWNSTREAM_REMOTE_ADDRESS%", "10.1.0.7:4711"},
      {"%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%", "10.1.0.7"},
      {"%DOWNSTREAM_DIRECT_REMOTE_ADDRESS%", "[fd00::7]:4712"},
      {"%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%", "fd00::7"},
      {"%DOWNSTREAM_DIRECT_REMOTE_PORT%", "4712"},
      {"%DOWNSTREAM_LOCAL_PORT%", "9080"},
      {"%DOWNSTREAM_PEER_URI_SAN%", "spiffe://cluster.local/ns/a/sa/b"},
      {"%ROUTE_NAME%", "r"},
      {"%UPSTREAM_REQUEST_ATTEMPT_COUNT%", "3"},
      {"%UPSTREAM_CLUSTER%%REQUESTED_SERVER_NAME%", "--"},
  };
  for (const auto& [text, want] : cases) EXPECT_EQ(Text(text), want) << text;
}

TEST_F(Substitution, WithoutAnExchangeNothingIsKnown) {
  facts_ = {};
  for (const char* word :
       {"REQ(a)", "RESP(a)", "TRAILER(a)", "PROTOCOL", "GRPC_STATUS", "DURATION", "START_TIME",
        "UPSTREAM_HOST", "DOWNSTREAM_REMOTE_PORT", "HOSTNAME", "TRACE_ID", "RESPONSE_FLAGS"})
    EXPECT_EQ(Text(std::string("%") + word + "%"), "-") << word;
  EXPECT_EQ(Text("%RESPONSE_CODE%"), "0");
}

TEST_F(Substitution, KnowsWhatIsConstant) {
  EXPECT_EQ(Template::Parse("a%%b")->Constant(), "a%b");
  EXPECT_EQ(Template::Parse("")->Constant(), "");
  EXPECT_EQ(Template::Parse("a%PROTOCOL%")->Constant(), std::nullopt);
}

TEST_F(Substitution, RefusesWhatItDoesNotUnderstand) {
  for (const char* text :
       {"%", "50% off", "%NOPE%", "%REQ%", "%REQ()%", "%REQ(a%", "%REQ(a):x%", "%REQ(a):%",
        "%PROTOCOL", "%PROTOCOL(x)%", "%protocol%", "%GRPC_STATUS(X)%", "%REQ(a):-1%", "%%%"})
    EXPECT_FALSE(Template::Parse(text).ok()) << text;
  EXPECT_FALSE(Template::Parse(std::string(8193, 'a')).ok());
  EXPECT_FALSE(Template::Parse("%START_TIME(" + std::string(65, 'a') + ")%").ok());
}

TEST(ResponseFlags, AreWrittenInOrder) {
  EXPECT_EQ(FlagsText(0), "-");
  EXPECT_EQ(FlagsText(kOverload), "OM");
  EXPECT_EQ(FlagsText(kFaultInjected | kDelayInjected), "DI,FI");
  const std::pair<ResponseFlag, const char*> all[] = {
      {kNoHealthyUpstream, "UH"},   {kUpstreamConnectFailure, "UF"},
      {kUpstreamOverflow, "UO"},    {kNoRoute, "NR"},
      {kUpstreamRetryLimit, "URX"}, {kNoCluster, "NC"},
      {kUpstreamTimeout, "UT"},     {kDownstreamTermination, "DC"},
      {kUpstreamReset, "UR"},       {kUpstreamTermination, "UC"},
      {kRateLimited, "RL"},         {kUnauthorized, "UAEX"},
      {kDownstreamProtocol, "DPE"}, {kUpstreamProtocol, "UPE"},
      {kDurationTimeout, "DT"}};
  for (const auto& [flag, name] : all) EXPECT_EQ(FlagsText(flag), name);
}

}  // namespace
}  // namespace mesh::route
