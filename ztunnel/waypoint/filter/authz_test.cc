#include "ztunnel/waypoint/filter/authz.h"

#include <google/protobuf/text_format.h>
#include <google/protobuf/util/json_util.h>
#include <gtest/gtest.h>

#include "proto/l7_policy.pb.h"

namespace mesh::filter {
namespace {

PolicyRef PolicyOf(const std::string& text) {
  l7::v1::Policy proto;
  EXPECT_TRUE(
      google::protobuf::TextFormat::ParseFromString("namespace: 'shop' name: 'p' " + text, &proto))
      << text;
  auto policy = CompilePolicy(proto);
  EXPECT_TRUE(policy.ok()) << policy.status();
  return policy.ok() ? *policy : nullptr;
}

// A request whose parts the tests change. `attributes()` refers to it.
struct TestCall {
  std::string trust_domain = "cluster.local", ns = "shop", account = "web";
  std::string method = "GET", authority = "reviews:9080", target = "/a/b?q";
  http::HeaderMap headers;
  std::string source_ip = "10.1.2.3", remote_ip = "10.1.2.3", destination_ip = "10.9.9.9";
  uint16_t port = 8080;
  std::string sni;
  bool plain_text = false, tcp = false;
  std::optional<Token> token;

  Verdict CheckAgainst(const PolicySet& set) const {
    const std::string principal = trust_domain + "/ns/" + ns + "/sa/" + account;
    const route::RequestView view(method, "http", authority, target, headers);
    RequestAttributes request;
    if (!plain_text) request.source = {principal, trust_domain, ns, account};
    request.source_ip = *IpAddress::Parse(source_ip);
    request.remote_ip = *IpAddress::Parse(remote_ip);
    request.destination_ip = *IpAddress::Parse(destination_ip);
    request.destination_port = port;
    request.sni = sni;
    request.request = tcp ? nullptr : &view;
    request.token = token ? &*token : nullptr;
    return Check(set, request);
  }
  bool Allowed(const std::string& rule) const {
    return CheckAgainst(PolicySet({PolicyOf("rules { " + rule + " }")})).allowed;
  }
};

TestCall Call() { return {}; }
template <typename Change>
TestCall Call(const Change& change) {
  TestCall call;
  change(call);
  return call;
}

struct RuleCase {
  const char* rule;
  TestCall call;
  bool matches;
};
class RuleMatch : public testing::TestWithParam<RuleCase> {};
TEST_P(RuleMatch, AsTheConfigurationApiSays) {
  EXPECT_EQ(GetParam().call.Allowed(GetParam().rule), GetParam().matches) << GetParam().rule;
}

const TestCall kPlain = Call([](TestCall& c) { c.plain_text = true; });

INSTANTIATE_TEST_SUITE_P(
    Sources, RuleMatch,
    testing::Values(
        RuleCase{"", Call(), true},  // {}: everything
        RuleCase{"from {}", kPlain, true},
        RuleCase{"from { principals { exact: 'cluster.local/ns/shop/sa/web' } }", Call(), true},
        RuleCase{"from { principals { exact: 'cluster.local/ns/shop/sa/we' } }", Call(), false},
        RuleCase{"from { principals { prefix: 'cluster.local/ns/shop/' } }", Call(), true},
        RuleCase{"from { principals { suffix: '/sa/web' } }", Call(), true},
        RuleCase{"from { principals { present: true } }", Call(), true},
        RuleCase{"from { principals { present: true } }", kPlain, false},
        RuleCase{"from { principals { prefix: '' } }", kPlain, false},
        RuleCase{"from { not_principals { exact: 'x' } }", kPlain, true},
        RuleCase{"from { not_principals { present: true } }", Call(), false},
        RuleCase{"from { principals { present: true } not_principals { suffix: 'web' } }", Call(),
                 false},
        RuleCase{"from { namespaces { exact: 'shop' } }", Call(), true},
        RuleCase{"from { namespaces { regex: 's.*p' } }", Call(), true},
        RuleCase{"from { namespaces { exact: 'other' } }", Call(), false},
        RuleCase{"from { namespaces { present: true } }", kPlain, false},
        RuleCase{"from { not_namespaces { exact: 'shop' } }", Call(), false},
        RuleCase{"from { service_accounts: 'shop/web' }", Call(), true},
        RuleCase{"from { service_accounts: 'shop/we' }", Call(), false},
        RuleCase{"from { service_accounts: 'other/web' }", Call(), false},
        RuleCase{"from { service_accounts: 'a/b' }", kPlain, false},
        RuleCase{"from { not_service_accounts: 'shop/web' }", Call(), false},
        RuleCase{"from { not_service_accounts: 'shop/web' }", kPlain, true},
        RuleCase{"from { trust_domains { exact: 'cluster.local' } }", Call(), true},
        RuleCase{"from { trust_domains { exact: 'other' } }", Call(), false},
        RuleCase{"from { ip_blocks { address: '\\012\\001\\000\\000' length: 16 } }", Call(), true},
        RuleCase{"from { ip_blocks { address: '\\012\\001\\377\\377' length: 16 } }", Call(), true},
        RuleCase{"from { ip_blocks { address: '\\012\\002\\000\\000' length: 16 } }", Call(),
                 false},
        RuleCase{"from { not_ip_blocks { address: '\\012\\001\\000\\000' length: 16 } }", Call(),
                 false},
        RuleCase{"from { remote_ip_blocks { address: '\\001\\001\\001\\001' length: 32 } }",
                 Call([](TestCall& c) { c.remote_ip = "1.1.1.1"; }), true},
        RuleCase{"from { remote_ip_blocks { address: '\\001\\001\\001\\001' length: 32 } }",
                 Call([](TestCall& c) { c.source_ip = "1.1.1.1"; }), false},
        RuleCase{"from { namespaces { exact: 'x' } } from { namespaces { exact: 'shop' } }", Call(),
                 true},
        RuleCase{"from { namespaces { exact: 'shop' } service_accounts: 'a/b' }", Call(), false}));

INSTANTIATE_TEST_SUITE_P(
    Operations, RuleMatch,
    testing::Values(
        RuleCase{"to { hosts { exact: 'reviews:9080' ignore_case: true } }", Call(), true},
        RuleCase{"to { hosts { exact: 'reviews' ignore_case: true } }", Call(), false},
        RuleCase{"to { hosts { exact: 'Reviews:9080' ignore_case: true } }", Call(), true},
        RuleCase{"to { hosts { prefix: 'REVIEWS' ignore_case: true } }", Call(), true},
        RuleCase{"to { hosts { present: true } }", Call([](TestCall& c) { c.authority = ""; }),
                 true},
        RuleCase{"to { not_hosts { prefix: 'reviews' ignore_case: true } }", Call(), false},
        RuleCase{"to { ports: 8080 ports: 9 }", Call(), true},
        RuleCase{"to { ports: 9 }", Call(), false},
        RuleCase{"to { not_ports: 8080 }", Call(), false},
        RuleCase{"to { methods { exact: 'GET' } }", Call(), true},
        RuleCase{"to { methods { exact: 'get' } }", Call(), false},
        RuleCase{"to { methods { prefix: 'P' } }", Call(), false},
        RuleCase{"to { not_methods { exact: 'GET' } }", Call(), false},
        RuleCase{"to { paths { exact: '/a/b' } }", Call(), true},  // without query
        RuleCase{"to { paths { prefix: '/a/' } }", Call(), true},
        RuleCase{"to { paths { suffix: '/b' } }", Call(), true},
        RuleCase{"to { paths { template: '/{*}/b' } }", Call(), true},
        RuleCase{"to { paths { template: '/{**}' } }", Call(), true},
        RuleCase{"to { paths { exact: '/a' } }", Call(), false},
        RuleCase{"to { not_paths { prefix: '/a' } }", Call(), false},
        RuleCase{"to { paths { prefix: '/a' } not_paths { exact: '/a/b' } }", Call(), false},
        RuleCase{"to { methods { exact: 'PUT' } } to { paths { prefix: '/a' } }", Call(), true},
        RuleCase{"to { methods { exact: 'PUT' } paths { prefix: '/a' } }", Call(), false}));

INSTANTIATE_TEST_SUITE_P(
    Conditions, RuleMatch,
    testing::Values(
        RuleCase{"when { attribute: HEADER name: 'X-A' values { exact: '1' } }",
                 Call([](TestCall& c) { c.headers.Add("x-a", "1"); }), true},
        RuleCase{"when { attribute: HEADER name: 'x-a' values { exact: '1,2' } }",
                 Call([](TestCall& c) {
                   c.headers.Add("x-a", "1");
                   c.headers.Add("x-a", "2");
                 }),
                 true},
        RuleCase{"when { attribute: HEADER name: 'x-a' values { present: true } }", Call(), false},
        RuleCase{"when { attribute: HEADER name: 'x-a' values { present: true } }",
                 Call([](TestCall& c) { c.headers.Add("x-a", ""); }), true},
        RuleCase{"when { attribute: HEADER name: 'x-a' not_values { exact: '1' } }", Call(), true},
        RuleCase{
            "when { attribute: SOURCE_IP blocks { address: '\\012\\001\\002\\003' length: 32 } }",
            Call(), true},
        RuleCase{"when { attribute: SOURCE_IP not_blocks { address: '\\012\\000\\000\\000' length: "
                 "8 } }",
                 Call(), false},
        RuleCase{
            "when { attribute: REMOTE_IP blocks { address: '\\011\\000\\000\\000' length: 8 } }",
            Call([](TestCall& c) { c.remote_ip = "9.1.1.1"; }), true},
        RuleCase{"when { attribute: DESTINATION_IP blocks { address: '\\012\\011\\000\\000' "
                 "length: 16 } }",
                 Call(), true},
        RuleCase{"when { attribute: DESTINATION_PORT ports: 8080 }", Call(), true},
        RuleCase{"when { attribute: DESTINATION_PORT not_ports: 8080 }", Call(), false},
        RuleCase{"when { attribute: SOURCE_NAMESPACE values { exact: 'shop' } }", Call(), true},
        RuleCase{"when { attribute: SOURCE_NAMESPACE not_values { exact: 'shop' } }", kPlain, true},
        RuleCase{"when { attribute: SOURCE_PRINCIPAL values { suffix: 'web' } }", Call(), true},
        RuleCase{"when { attribute: SOURCE_PRINCIPAL values { present: true } }", kPlain, false},
        RuleCase{"when { attribute: SOURCE_SERVICE_ACCOUNT values { exact: 'shop/web' } }", Call(),
                 true},
        RuleCase{"when { attribute: SOURCE_SERVICE_ACCOUNT not_values { exact: 'shop/web' } }",
                 Call(), false},
        RuleCase{"when { attribute: SOURCE_TRUST_DOMAIN values { exact: 'cluster.local' } }",
                 Call(), true},
        RuleCase{"when { attribute: SNI values { suffix: '.com' } }",
                 Call([](TestCall& c) { c.sni = "a.com"; }), true},
        RuleCase{"when { attribute: SNI values { present: true } }", Call(), false},
        RuleCase{"when { attribute: SOURCE_NAMESPACE values { exact: 'shop' } } "
                 "when { attribute: DESTINATION_PORT ports: 1 }",
                 Call(), false}));

Token TokenOf(const std::string& claims) {
  Token token;
  token.issuer = "https://issuer/path";
  token.subject = "alice";
  token.presenter = "app";
  token.audiences = {"a", "b"};
  EXPECT_TRUE(google::protobuf::util::JsonStringToMessage(claims, &token.claims).ok()) << claims;
  return token;
}
const TestCall kWithToken = Call([](TestCall& c) {
  c.token = TokenOf(
      R"({"group":"admin","groups":["x","y"],"nested":{"a":{"b":"deep"}},"n":1,"empty":[]})");
});

INSTANTIATE_TEST_SUITE_P(
    Tokens, RuleMatch,
    testing::Values(
        RuleCase{"from { request_principals { present: true } }", kWithToken, true},
        RuleCase{"from { request_principals { present: true } }", Call(), false},
        RuleCase{"from { not_request_principals { present: true } }", Call(), true},
        RuleCase{"from { not_request_principals { present: true } }", kWithToken, false},
        RuleCase{"from { request_principals { exact: 'https://issuer/path/alice' } }", kWithToken,
                 true},
        RuleCase{"from { request_principals { exact: 'https://issuer/path/al' } }", kWithToken,
                 false},
        RuleCase{"from { request_principals { prefix: 'https://issuer/path/' } }", kWithToken,
                 true},
        RuleCase{"from { request_principals { prefix: 'https://issuer/' } }", kWithToken, false},
        RuleCase{"from { request_principals { prefix: 'https://issuer/path/al' } }", kWithToken,
                 true},
        RuleCase{"from { request_principals { suffix: '/alice' } }", kWithToken, true},
        RuleCase{"from { request_principals { suffix: '/lice' } }", kWithToken, false},
        RuleCase{"from { request_principals { suffix: 'lice' } }", kWithToken, true},
        RuleCase{"from { request_principals { prefix: 'https:' } }", kWithToken, true},
        RuleCase{"when { attribute: REQUEST_PRINCIPAL values { suffix: '/alice' } }", kWithToken,
                 true},
        RuleCase{"when { attribute: REQUEST_PRINCIPAL values { suffix: '/alice' } }", Call(),
                 false},
        RuleCase{"when { attribute: AUDIENCE values { exact: 'b' } }", kWithToken, true},
        RuleCase{"when { attribute: AUDIENCE values { exact: 'c' } }", kWithToken, false},
        RuleCase{"when { attribute: AUDIENCE not_values { exact: 'b' } }", kWithToken, false},
        RuleCase{"when { attribute: AUDIENCE not_values { exact: 'b' } }", Call(), true},
        RuleCase{"when { attribute: PRESENTER values { exact: 'app' } }", kWithToken, true},
        RuleCase{"when { attribute: PRESENTER values { present: true } }", Call(), false},
        RuleCase{"when { attribute: CLAIM claim: 'group' values { exact: 'admin' } }", kWithToken,
                 true},
        RuleCase{"when { attribute: CLAIM claim: 'groups' values { exact: 'y' } }", kWithToken,
                 true},
        RuleCase{"when { attribute: CLAIM claim: 'groups' values { exact: 'z' } }", kWithToken,
                 false},
        RuleCase{"when { attribute: CLAIM claim: 'groups' not_values { exact: 'y' } }", kWithToken,
                 false},
        RuleCase{"when { attribute: CLAIM claim: 'nested' claim: 'a' claim: 'b' "
                 "values { exact: 'deep' } }",
                 kWithToken, true},
        RuleCase{"when { attribute: CLAIM claim: 'nested' values { present: true } }", kWithToken,
                 false},
        RuleCase{"when { attribute: CLAIM claim: 'n' values { present: true } }", kWithToken,
                 false},
        RuleCase{"when { attribute: CLAIM claim: 'empty' values { present: true } }", kWithToken,
                 false},
        RuleCase{"when { attribute: CLAIM claim: 'none' not_values { exact: 'x' } }", kWithToken,
                 true},
        RuleCase{"when { attribute: CLAIM claim: 'group' values { present: true } }", Call(),
                 false}));

TEST(Authz, DenyThenAllowThenDefault) {
  const PolicyRef allow = PolicyOf("rules { to { methods { exact: 'GET' } } }");
  const PolicyRef deny = PolicyOf(
      "action: DENY rules { to { methods { exact: 'PUT' } } } rules { to { paths { prefix: '/a' } "
      "} }");
  EXPECT_TRUE(Call().CheckAgainst(PolicySet()).allowed);
  EXPECT_TRUE(Call().CheckAgainst(PolicySet({allow})).allowed);
  Verdict verdict = Call().CheckAgainst(PolicySet({allow, deny}));
  EXPECT_FALSE(verdict.allowed);
  EXPECT_EQ(verdict.Detail(), "rbac_access_denied_matched_policy[ns[shop]-policy[p]-rule[1]]");
  const TestCall other = Call([](TestCall& c) {
    c.method = "POST";
    c.target = "/x";
  });
  verdict = other.CheckAgainst(PolicySet({allow, deny}));
  EXPECT_FALSE(verdict.allowed);
  EXPECT_EQ(verdict.Detail(), "rbac_access_denied_matched_policy[none]");
  EXPECT_TRUE(other.CheckAgainst(PolicySet({deny})).allowed);
}

TEST(Authz, PoliciesWithoutRulesMatchNothing) {
  EXPECT_FALSE(Call().CheckAgainst(PolicySet({PolicyOf("")})).allowed);
  EXPECT_TRUE(Call().CheckAgainst(PolicySet({PolicyOf("action: DENY")})).allowed);
  EXPECT_TRUE(Call().CheckAgainst(PolicySet({PolicyOf("action: AUDIT")})).audited.empty());
}

TEST(Authz, DryRunIsToldNotEnforced) {
  const PolicySet set({PolicyOf("action: DENY dry_run: true rules {}")});
  const Verdict denied = Call().CheckAgainst(set);
  EXPECT_TRUE(denied.allowed);
  EXPECT_TRUE(denied.dry_run_denied);
  EXPECT_EQ(denied.dry_run_by.name, "p");
  const Verdict allow = Call().CheckAgainst(PolicySet({PolicyOf("dry_run: true")}));
  EXPECT_TRUE(allow.allowed);  // it is no ALLOW policy that applies
  EXPECT_TRUE(allow.dry_run_denied);
  const Verdict matched = Call().CheckAgainst(PolicySet({PolicyOf("dry_run: true rules {}")}));
  EXPECT_FALSE(matched.dry_run_denied);
}

TEST(Authz, AuditMarksWithoutDeciding) {
  const PolicyRef audit = PolicyOf("action: AUDIT rules { to { ports: 1 } } rules { }");
  const Verdict verdict = Call().CheckAgainst(PolicySet({audit}));
  EXPECT_TRUE(verdict.allowed);
  ASSERT_EQ(verdict.audited.size(), 1u);
  EXPECT_EQ(verdict.audited[0].rule, 1u);
  EXPECT_EQ(Call().CheckAgainst(PolicySet({audit, PolicyOf("")})).audited.size(), 1u);
}

TEST(Authz, WhatCannotBeEnforcedDenies) {
  const PolicySet late({MissingPolicy("shop/late")});  // verdicts refer to their set
  const Verdict missing = Call().CheckAgainst(late);
  EXPECT_FALSE(missing.allowed);
  EXPECT_EQ(missing.Detail(), "rbac_access_denied_matched_policy[ns[shop]-policy[late]-rule[0]]");
  EXPECT_EQ(missing.why, "the policy has not arrived");
  const PolicySet unusable(
      {PolicyOf("deny_everything: 'no provider' rules {}"), PolicyOf("rules {}")});
  const Verdict custom = Call().CheckAgainst(unusable);
  EXPECT_FALSE(custom.allowed);
  EXPECT_EQ(custom.why, "no provider");
}

TEST(Authz, TcpReadsDenyWiderAndAllowNarrower) {
  const TestCall tcp = Call([](TestCall& c) { c.tcp = true; });
  struct Case {
    const char* rule;
    bool allows, denies;
  } cases[] = {
      {"", true, true},
      {"to { ports: 8080 }", true, true},
      {"to { ports: 1 }", false, false},
      {"to { methods { exact: 'PUT' } }", false, true},
      {"to { methods { exact: 'PUT' } ports: 1 }", false, false},
      {"to { ports: 8080 } to { paths { exact: '/' } }", false, true},
      {"from { request_principals { present: true } }", false, true},
      {"from { request_principals { present: true } namespaces { exact: 'x' } }", false, false},
      {"when { attribute: HEADER name: 'a' values { exact: 'b' } }", false, true},
      {"when { attribute: CLAIM claim: 'a' values { exact: 'b' } }", false, true},
      {"from { namespaces { exact: 'shop' } }", true, true},
  };
  for (const Case& c : cases) {
    const std::string rule = std::string("rules { ") + c.rule + " }";
    EXPECT_EQ(tcp.CheckAgainst(PolicySet({PolicyOf(rule)})).allowed, c.allows) << rule;
    EXPECT_EQ(!tcp.CheckAgainst(PolicySet({PolicyOf("action: DENY " + rule)})).allowed, c.denies)
        << rule;
    EXPECT_EQ(tcp.CheckAgainst(PolicySet({PolicyOf("action: AUDIT " + rule)})).audited.size(),
              c.allows ? 1u : 0u);
  }
}

// The source document's payment policy.
TEST(Authz, PaymentPolicy) {
  const std::string rule =
      "from { principals { exact: 'cluster.local/ns/production/sa/order-service' } } "
      "to { methods { exact: 'POST' } paths { prefix: '/api/payments/' } }";
  const auto call = [](const char* account, const char* method, const char* target) {
    return Call([&](TestCall& c) {
      c.ns = "production";
      c.account = account;
      c.method = method;
      c.target = target;
    });
  };
  EXPECT_TRUE(call("order-service", "POST", "/api/payments/1").Allowed(rule));
  EXPECT_FALSE(call("other", "POST", "/api/payments/1").Allowed(rule));
  EXPECT_FALSE(call("order-service", "GET", "/api/payments/1").Allowed(rule));
  EXPECT_FALSE(call("order-service", "POST", "/api/payments").Allowed(rule));
  EXPECT_FALSE(call("order-service", "POST", "/api/refunds/1").Allowed(rule));
}

TEST(Authz, RefusalsNameTheField) {
  const std::pair<const char*, const char*> cases[] = {
      {"rules { from { principals { } } }", "rules[0]: from[0]: principals: [0]: no kind"},
      {"rules { } rules { to { not_hosts { regex: '(' } } }", "rules[1]: to[0]: not_hosts: [0]"},
      {"rules { to { ports: 70000 } }", "to[0]: ports: [0]: port 70000"},
      {"rules { to { paths { template: '{x}' } } }", "paths: [0]: template"},
      {"rules { from { ip_blocks { address: 'abc' } } }", "ip_blocks: [0]: an address of 3"},
      {"rules { from { not_ip_blocks { address: 'abcd' length: 40 } } }", "length 40"},
      {"rules { from { service_accounts: 'web' } }", "service_accounts[0]: \"web\""},
      {"rules { from { service_accounts: 'a/b/c' } }", "service_accounts[0]"},
      {"rules { when { attribute: HEADER name: 'a b' values { exact: '' } } }", "when[0]: name"},
      {"rules { when { attribute: HEADER name: 'a' } }", "when[0]: no values"},
      {"rules { when { attribute: SOURCE_IP values { exact: '1.1.1.1' } } }", "no values"},
      {"rules { when { attribute: CLAIM values { exact: '' } } }", "when[0]: claim"},
      {"rules { when { attribute: SOURCE_SERVICE_ACCOUNT values { prefix: 'a' } } }",
       "values[0]: a service account is exact"},
  };
  for (const auto& [text, field] : cases) {
    l7::v1::Policy proto;
    ASSERT_TRUE(
        google::protobuf::TextFormat::ParseFromString(std::string("name: 'p' ") + text, &proto));
    const auto policy = CompilePolicy(proto);
    ASSERT_FALSE(policy.ok()) << text;
    EXPECT_NE(policy.status().ToString().find(field), std::string::npos) << policy.status();
  }
  EXPECT_FALSE(CompilePolicy(l7::v1::Policy()).ok());
}

}  // namespace
}  // namespace mesh::filter
