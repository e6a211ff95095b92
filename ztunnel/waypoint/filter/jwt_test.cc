#include "ztunnel/waypoint/filter/jwt.h"

#include <fmt/format.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "proto/l7_policy.pb.h"

namespace mesh::filter {
namespace {

constexpr char kSecret[] = "a secret for tests";
const absl::Time kNow = absl::FromUnixSeconds(1'700'000'000);

std::string TokenWith(const std::string& payload, const std::string& secret = kSecret,
                      const std::string& header = R"({"alg":"HS256","kid":"k"})") {
  std::string out = EncodeBase64Url(header) + "." + EncodeBase64Url(payload);
  unsigned char mac[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  HMAC(EVP_sha256(), secret.data(), static_cast<int>(secret.size()),
       reinterpret_cast<const unsigned char*>(out.data()), out.size(), mac, &size);
  return out + "." + EncodeBase64Url({reinterpret_cast<const char*>(mac), size});
}

std::string Issuer(const std::string& issuer, const std::string& more = "",
                   const std::string& secret = kSecret) {
  return fmt::format(
      "issuers {{ issuer: '{}' jwks: "
      "'{{\"keys\":[{{\"kty\":\"oct\",\"kid\":\"k\",\"k\":\"{}\"}}]}}'"
      " {} }} ",
      issuer, EncodeBase64Url(secret), more);
}

std::shared_ptr<const JwtRules> RulesOf(const std::string& text) {
  l7::v1::Authentication proto;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &proto)) << text;
  const l7::v1::Authentication* all[] = {&proto};
  auto rules = JwtRules::Compile(all);
  EXPECT_TRUE(rules.ok()) << rules.status();
  return *rules;
}

http::RequestHead Request(const std::string& path = "/x") {
  http::RequestHead head;
  head.method = "GET";
  head.scheme = "http";
  head.authority = "reviews:9080";
  head.path = path;
  return head;
}

http::RequestHead WithBearer(const std::string& token) {
  http::RequestHead head = Request();
  head.headers.Add("authorization", "Bearer " + token);
  return head;
}

constexpr char kClaims[] = R"({"iss":"me","sub":"alice","aud":["a","b"],"azp":"app",)"
                           R"("exp":1700000100,"nbf":1699999900,"scope":"read write",)"
                           R"("n":7,"deep":{"er":"value"},"ok":true,"list":["x"]})";

TEST(Jwt, WithoutTokenIsAcceptedWithoutPrincipal) {
  http::RequestHead head = Request();
  head.headers.Add("authorization", "Basic abc");
  const JwtVerdict verdict = Authenticate(*RulesOf(Issuer("me")), head, kNow);
  EXPECT_TRUE(verdict.accepted);
  EXPECT_FALSE(verdict.token);
  EXPECT_TRUE(head.headers.Has("authorization"));
}

TEST(Jwt, AValidTokenSaysWhoItIs) {
  http::RequestHead head = WithBearer(TokenWith(kClaims));
  const JwtVerdict verdict = Authenticate(*RulesOf(Issuer("me", "audiences: 'b'")), head, kNow);
  ASSERT_TRUE(verdict.accepted) << verdict.reason;
  ASSERT_TRUE(verdict.token);
  EXPECT_EQ(verdict.token->issuer, "me");
  EXPECT_EQ(verdict.token->subject, "alice");
  EXPECT_EQ(verdict.token->presenter, "app");
  EXPECT_EQ(verdict.token->audiences, (std::vector<std::string>{"a", "b"}));
  const auto& scope = verdict.token->claims.fields().at("scope").list_value();
  ASSERT_EQ(scope.values_size(), 2);  // split at spaces
  EXPECT_EQ(scope.values(1).string_value(), "write");
  EXPECT_FALSE(head.headers.Has("authorization"));  // not forwarded
}

TEST(Jwt, EachRefusalHasItsStatusAndReason) {
  const std::string good = TokenWith(kClaims);
  const struct {
    std::string rule, token;
    absl::Time now;
    int status;
    const char* reason;
  } cases[] = {
      {"", "abc", kNow, 401, "two dots"},
      {"", "a.b", kNow, 401, "two dots"},
      {"", good + ".x", kNow, 401, "two dots"},
      {"", good + "A", kNow, 401, "verification fails"},
      {"", good + "=", kNow, 401, "two dots"},  // no padding
      {"", TokenWith("[]"), kNow, 401, "two dots"},
      {"", TokenWith(R"({"iss":7})"), kNow, 401, "two dots"},
      {"", TokenWith(R"({"iss":"me","exp":"soon"})"), kNow, 401, "two dots"},
      {"", TokenWith(kClaims, kSecret, R"({"alg":"HS256","crit":["x"]})"), kNow, 401, "two dots"},
      {"", std::string(17 << 10, 'a'), kNow, 401, "two dots"},
      {"", TokenWith(R"({"iss":"other"})"), kNow, 401, "issuer"},
      {"", TokenWith("{}"), kNow, 401, "issuer"},
      {"", good, kNow + absl::Seconds(159), 200, ""},  // a minute late is fine
      {"", good, kNow + absl::Seconds(160), 401, "expired"},
      {"", good, kNow - absl::Seconds(160), 200, ""},
      {"", good, kNow - absl::Seconds(161), 401, "not yet valid"},
      {"audiences: 'c'", good, kNow, 403, "Audiences"},
      {"audiences: 'c'", TokenWith(R"({"iss":"me"})"), kNow, 403, "Audiences"},
      {"", TokenWith(kClaims, "another secret"), kNow, 401, "verification fails"},
      {"", TokenWith(kClaims, kSecret, R"({"alg":"none"})"), kNow, 401, "[alg]"},
      {"", TokenWith(kClaims, kSecret, R"({"alg":"RS256"})"), kNow, 401, "match kid or alg"},
      {"", TokenWith(kClaims, kSecret, R"({"alg":"HS256","kid":"z"})"), kNow, 401, "match kid"},
      {"jwks_problem: 'not fetched'", good, kNow, 401, "Jwks"},
  };
  for (const auto& c : cases) {
    http::RequestHead head = WithBearer(c.token);
    const JwtVerdict verdict = Authenticate(*RulesOf(Issuer("me", c.rule)), head, c.now);
    EXPECT_EQ(verdict.accepted, c.status == 200) << c.token;
    if (verdict.accepted) continue;
    EXPECT_EQ(verdict.status, c.status) << c.reason;
    EXPECT_NE(verdict.reason.find(c.reason), std::string::npos) << verdict.reason;
    EXPECT_EQ(verdict.challenge, "Bearer realm=\"http://reviews:9080/x\", error=\"invalid_token\"");
    EXPECT_FALSE(verdict.token);
  }
}

TEST(Jwt, OneRuleOfSeveralIsEnough) {
  const auto rules = RulesOf(Issuer("you", "", "your secret") + Issuer("me"));
  http::RequestHead head = WithBearer(TokenWith(kClaims));
  EXPECT_TRUE(Authenticate(*rules, head, kNow).accepted);
  head = WithBearer(TokenWith(kClaims, "bad"));
  // The rule of its own issuer says why.
  EXPECT_NE(Authenticate(*rules, head, kNow).reason.find("verification"), std::string::npos);
  head = WithBearer(TokenWith(R"({"iss":"stranger"})"));
  EXPECT_NE(Authenticate(*rules, head, kNow).reason.find("issuer"), std::string::npos);
}

TEST(Jwt, AllTokensOfARuleMustBeGood) {
  http::RequestHead head = WithBearer(TokenWith(kClaims));
  head.path = "/x?access_token=" + TokenWith(kClaims, "bad");
  EXPECT_FALSE(Authenticate(*RulesOf(Issuer("me")), head, kNow).accepted);
  head = WithBearer(TokenWith(kClaims));
  for (int i = 0; i < 8; ++i) head.headers.Add("authorization", "Bearer " + TokenWith(kClaims));
  EXPECT_FALSE(Authenticate(*RulesOf(Issuer("me")), head, kNow).accepted);  // too many
}

TEST(Jwt, TokensAreFoundInTheirPlacesAndTakenOut) {
  const std::string token = TokenWith(kClaims);
  const auto accepts = [](const std::string& rule, http::RequestHead& head) {
    return Authenticate(*RulesOf(Issuer("me", rule)), head, kNow).token.has_value();
  };
  http::RequestHead head = Request("/x?a=1&access_token=" + token + "&b=2");
  EXPECT_TRUE(accepts("", head));
  EXPECT_EQ(head.path, "/x?a=1&b=2");
  head = Request("/x?access_token=" + token);
  EXPECT_TRUE(accepts("", head));
  EXPECT_EQ(head.path, "/x");
  head = Request("/x?t=" + token);
  EXPECT_TRUE(accepts("parameters: 't' forward_token: true", head));
  EXPECT_EQ(head.path, "/x?t=" + token);
  head = Request();
  head.headers.Add("cookie", "a=1; session=" + token + "; b=2");
  EXPECT_TRUE(accepts("cookies: 'session'", head));
  EXPECT_EQ(head.headers.Find("cookie"), "a=1; b=2");
  head = Request();
  head.headers.Add("x-token", "jwt " + token);
  EXPECT_TRUE(accepts("headers { name: 'X-Token' prefix: 'jwt ' }", head));
  EXPECT_FALSE(head.headers.Has("x-token"));
  // With places of its own the usual ones are not searched.
  head = WithBearer(token);
  EXPECT_FALSE(accepts("headers { name: 'x-token' }", head));
  EXPECT_TRUE(head.headers.Has("authorization"));
}

TEST(Jwt, ClaimsBecomeHeadersAndClientsCannotForgeThem) {
  const std::string rule =
      "payload_header: 'X-Payload' claim_headers { header: 'X-Sub' claim: 'sub' } "
      "claim_headers { header: 'x-n' claim: 'n' } claim_headers { header: 'x-ok' claim: 'ok' } "
      "claim_headers { header: 'x-deep' claim: 'deep' claim: 'er' } "
      "claim_headers { header: 'x-list' claim: 'list' } "
      "claim_headers { header: 'x-none' claim: 'none' }";
  http::RequestHead head = WithBearer(TokenWith(kClaims));
  for (const char* name : {"x-payload", "x-sub", "x-n", "x-none"}) head.headers.Add(name, "forged");
  ASSERT_TRUE(Authenticate(*RulesOf(Issuer("me", rule)), head, kNow).accepted);
  EXPECT_EQ(head.headers.Joined("x-payload"), EncodeBase64Url(kClaims));
  EXPECT_EQ(head.headers.Joined("x-sub"), "alice");
  EXPECT_EQ(head.headers.Joined("x-n"), "7");
  EXPECT_EQ(head.headers.Joined("x-ok"), "true");
  EXPECT_EQ(head.headers.Joined("x-deep"), "value");
  EXPECT_EQ(head.headers.Joined("x-list"), EncodeBase64Url(R"(["x"])"));
  EXPECT_FALSE(head.headers.Has("x-none"));

  head = Request();  // also without a token
  head.headers.Add("x-sub", "forged");
  ASSERT_TRUE(Authenticate(*RulesOf(Issuer("me", rule)), head, kNow).accepted);
  EXPECT_FALSE(head.headers.Has("x-sub"));
}

TEST(Jwt, RefusalsNameTheField) {
  const std::pair<const char*, const char*> cases[] = {
      {"issuers { } issuers { headers { name: 'a b' } }", "issuers[1]: headers[0]"},
      {"issuers { payload_header: ':x' }", "payload_header"},
      {"issuers { claim_headers { header: 'x' } }", "claim_headers[0]: no claim"},
  };
  for (const auto& [text, field] : cases) {
    l7::v1::Authentication proto;
    ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &proto));
    const l7::v1::Authentication* all[] = {&proto};
    EXPECT_NE(JwtRules::Compile(all).status().ToString().find(field), std::string::npos) << text;
  }
}

}  // namespace
}  // namespace mesh::filter
