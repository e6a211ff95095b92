#include "ztunnel/core/authz/policy.h"

#include <gtest/gtest.h>

#include <chrono>

#include "proto/authorization.pb.h"

namespace mesh::authz {
namespace {

namespace pb = istio::security;

const identity::Identity kAlice{"cluster.local", "shop", "alice"};
const identity::Identity kBob{"cluster.local", "other", "bob"};

Connection From(std::optional<identity::Identity> who, uint16_t port = 80) {
  return {who, *IpAddress::Parse("10.1.2.3"), *IpAddress::Parse("10.9.9.9"), port};
}

pb::Authorization Make(const std::string& name, pb::Action action) {
  pb::Authorization a;
  a.set_name(name);
  a.set_namespace_("shop");
  a.set_action(action);
  return a;
}

pb::Match* AddMatch(pb::Authorization& a) { return a.add_groups()->add_rules()->add_matches(); }

Decision CheckAll(const std::vector<pb::Authorization>& policies, const Connection& c) {
  std::vector<PolicyRef> compiled;
  for (const auto& p : policies) {
    auto policy = Compile(p);
    EXPECT_TRUE(policy.ok()) << policy.status();
    compiled.push_back(*policy);
  }
  return Check(compiled, c);
}

void SetAddress(pb::Address* a, const char* cidr) {
  const auto prefix = *IpPrefix::Parse(cidr);
  a->set_address(prefix.address.ToBytes());
  a->set_length(prefix.length);
}

TEST(Policy, NoPolicyAllows) {
  const Decision d = CheckAll({}, From(kAlice));
  EXPECT_TRUE(d.allowed);
  EXPECT_EQ(d.explanation, "no_policy");
}

TEST(Policy, AllowThatMatchesNothingDenies) {
  const Decision d = CheckAll({Make("empty", pb::ALLOW)}, From(kAlice));
  EXPECT_FALSE(d.allowed);
  EXPECT_EQ(d.explanation, "no ALLOW policy matches (1 apply)");
  EXPECT_TRUE(CheckAll({Make("empty", pb::DENY)}, From(kAlice)).allowed);
}

TEST(Policy, DenyComesBeforeAllow) {
  auto allow = Make("allow", pb::ALLOW);
  AddMatch(allow)->add_principals()->set_exact(kAlice.Principal());
  auto deny = Make("deny", pb::DENY);
  AddMatch(deny)->add_namespaces()->set_exact("shop");
  EXPECT_TRUE(CheckAll({allow}, From(kAlice)).allowed);
  EXPECT_EQ(CheckAll({allow}, From(kAlice)).explanation, "allowed by shop/allow");
  const Decision d = CheckAll({allow, deny}, From(kAlice));
  EXPECT_FALSE(d.allowed);
  EXPECT_EQ(d.policy, "shop/deny");
  EXPECT_EQ(d.explanation, "denied by shop/deny");
  EXPECT_FALSE(CheckAll({allow, deny}, From(kBob)).allowed);
}

TEST(Policy, StrictIsADenialOfTheUnauthenticated) {
  auto strict = Make("strict", pb::DENY);
  AddMatch(strict)->add_not_principals()->mutable_presence();
  EXPECT_TRUE(CheckAll({strict}, From(kAlice)).allowed);
  EXPECT_FALSE(CheckAll({strict}, From(std::nullopt)).allowed);
}

TEST(Policy, StrictWithAnOpenPortIsAnAndOfRules) {
  auto strict = Make("strict", pb::DENY);
  auto* group = strict.add_groups();
  group->add_rules()->add_matches()->add_not_principals()->mutable_presence();
  group->add_rules()->add_matches()->add_not_destination_ports(8080);
  EXPECT_TRUE(CheckAll({strict}, From(std::nullopt, 8080)).allowed);
  EXPECT_FALSE(CheckAll({strict}, From(std::nullopt, 80)).allowed);
  EXPECT_TRUE(CheckAll({strict}, From(kAlice, 80)).allowed);
}

TEST(Policy, MatchesOfARuleAreAlternatives) {
  auto allow = Make("allow", pb::ALLOW);
  auto* rule = allow.add_groups()->add_rules();
  rule->add_matches()->add_principals()->set_exact(kAlice.Principal());
  rule->add_matches()->add_destination_ports(90);
  EXPECT_TRUE(CheckAll({allow}, From(kAlice, 80)).allowed);
  EXPECT_TRUE(CheckAll({allow}, From(kBob, 90)).allowed);
  EXPECT_FALSE(CheckAll({allow}, From(kBob, 80)).allowed);
}

TEST(Policy, EmptyMatchNeverMatchesAndEmptyGroupAlwaysDoes) {
  auto deny = Make("deny", pb::DENY);
  AddMatch(deny);
  EXPECT_TRUE(CheckAll({deny}, From(kAlice)).allowed);
  auto group = Make("group", pb::DENY);
  group.add_groups();
  EXPECT_FALSE(CheckAll({group}, From(kAlice)).allowed);
  auto rule = Make("rule", pb::DENY);
  rule.add_groups()->add_rules();
  EXPECT_FALSE(CheckAll({rule}, From(kAlice)).allowed);
}

TEST(Policy, DryRunOnlyLogs) {
  auto deny = Make("deny", pb::DENY);
  deny.set_dry_run(true);
  deny.add_groups();
  EXPECT_TRUE(CheckAll({deny}, From(kAlice)).allowed);
  auto allow = Make("allow", pb::ALLOW);
  allow.set_dry_run(true);
  EXPECT_TRUE(CheckAll({allow}, From(kAlice)).allowed);  // no enforced ALLOW policy
}

TEST(Policy, ManyPrefixesAnswerLikeFew) {
  auto deny = Make("deny", pb::DENY);
  auto* match = AddMatch(deny);
  for (int i = 0; i < 200; ++i) {
    SetAddress(match->add_source_ips(), ("172.16." + std::to_string(i) + ".0/24").c_str());
  }
  EXPECT_TRUE(CheckAll({deny}, From(kAlice)).allowed);
  SetAddress(match->add_source_ips(), "10.1.77.0/17");  // bits after the length do not count
  EXPECT_FALSE(CheckAll({deny}, From(kAlice)).allowed);
}

TEST(Policy, RefusesWhatItCannotHoldExactly) {
  const auto refuse = [](auto edit, const char* field) {
    auto a = Make("p", pb::ALLOW);
    edit(a);
    const auto policy = Compile(a);
    EXPECT_EQ(policy.status().code(), absl::StatusCode::kInvalidArgument) << field;
    EXPECT_NE(policy.status().ToString().find(field), std::string::npos) << policy.status();
  };
  refuse([](auto& a) { AddMatch(a)->add_source_ips()->set_address("abc"); }, "source_ips[0]");
  refuse(
      [](auto& a) {
        auto* address = AddMatch(a)->add_not_destination_ips();
        address->set_address(std::string(4, '\0'));
        address->set_length(33);
      },
      "not_destination_ips[0]");
  refuse([](auto& a) { AddMatch(a)->add_principals(); }, "principals[0]");
  refuse([](auto& a) { AddMatch(a)->add_destination_ports(70000); }, "destination_ports");
  refuse([](auto& a) { a.set_scope(static_cast<pb::Scope>(9)); }, "scope");
  refuse([](auto& a) { a.set_action(static_cast<pb::Action>(9)); }, "action");
  refuse([](auto& a) { a.clear_name(); }, "name");
}

TEST(Policy, TenThousandPrincipalsCostAsMuchAsOne) {
  auto allow = Make("allow", pb::ALLOW);
  for (int i = 0; i < 10'000; ++i) {
    AddMatch(allow)->add_principals()->set_exact("cluster.local/ns/n/sa/a" + std::to_string(i));
  }
  const std::vector<PolicyRef> policies = {*Compile(allow)};
  const Connection c = From(identity::Identity{"cluster.local", "n", "a9999"});
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < 1000; ++i) ASSERT_TRUE(Check(policies, c).allowed);
  // A scan of all groups would take more than a second; the bound leaves room for sanitizers.
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(200));
}

}  // namespace
}  // namespace mesh::authz
