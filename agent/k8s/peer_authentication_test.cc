#include "agent/k8s/peer_authentication.h"

#include <gtest/gtest.h>

namespace mesh::k8s {
namespace {

using Mode = api::MutualTls;

struct Policy {
  std::string ns, name;
  std::string app;  // empty: no selector
  Mode::Mode mode;
  std::map<uint32_t, Mode::Mode> ports;
  std::string created;
};

std::vector<PeerAuthenticationRef> Make(const std::vector<Policy>& policies) {
  std::vector<PeerAuthenticationRef> all;
  for (const Policy& policy : policies) {
    auto made = std::make_shared<api::PeerAuthentication>();
    made->mutable_metadata()->set_name(policy.name);
    made->mutable_metadata()->set_namespace_(policy.ns);
    made->mutable_metadata()->set_creation_timestamp(policy.created);
    auto& spec = *made->mutable_spec();
    if (!policy.app.empty()) (*spec.mutable_selector()->mutable_match_labels())["app"] = policy.app;
    spec.mutable_mtls()->set_mode(policy.mode);
    for (const auto& [port, mode] : policy.ports) {
      (*spec.mutable_port_level_mtls())[port].set_mode(mode);
    }
    all.push_back(std::move(made));
  }
  return all;
}

EffectivePeerAuthentication For(const std::vector<PeerAuthenticationRef>& all) {
  Labels labels;
  labels["app"] = "web";
  return EffectiveFor(all, "root", "shop", labels);
}

TEST(PeerAuthentication, NothingIsPermissive) { EXPECT_FALSE(For({}).strict); }

TEST(PeerAuthentication, NarrowerScopesWinAndUnsetInherits) {
  EXPECT_TRUE(For(Make({{"root", "m", "", Mode::STRICT, {}, ""}})).strict);
  EXPECT_FALSE(For(Make({{"root", "m", "", Mode::STRICT, {}, ""},
                         {"shop", "n", "", Mode::PERMISSIVE, {}, ""}}))
                   .strict);
  EXPECT_TRUE(
      For(Make({{"root", "m", "", Mode::STRICT, {}, ""}, {"shop", "n", "", Mode::UNSET, {}, ""}}))
          .strict);
  EXPECT_TRUE(For(Make({{"shop", "n", "", Mode::DISABLE, {}, ""},
                        {"shop", "w", "web", Mode::STRICT, {}, ""}}))
                  .strict);
  EXPECT_FALSE(For(Make({{"shop", "w", "other", Mode::STRICT, {}, ""}})).strict);
  EXPECT_FALSE(For(Make({{"other", "n", "", Mode::STRICT, {}, ""}})).strict);
}

TEST(PeerAuthentication, SelectorsOfTheRootNamespaceSelectNothing) {
  EXPECT_FALSE(For(Make({{"root", "m", "web", Mode::STRICT, {}, ""}})).strict);
}

TEST(PeerAuthentication, TheOldestOfALevelCounts) {
  EXPECT_TRUE(For(Make({{"shop", "b", "", Mode::STRICT, {}, "2026-01-01T00:00:00Z"},
                        {"shop", "a", "", Mode::DISABLE, {}, "2026-01-02T00:00:00Z"}}))
                  .strict);
  EXPECT_FALSE(
      For(Make({{"shop", "b", "", Mode::STRICT, {}, ""}, {"shop", "a", "", Mode::DISABLE, {}, ""}}))
          .strict);
}

TEST(PeerAuthentication, PortsAreExceptionsOnlyWhereTheyDiffer) {
  const auto all =
      Make({{"shop",
             "w",
             "web",
             Mode::STRICT,
             {{80, Mode::PERMISSIVE}, {81, Mode::STRICT}, {82, Mode::UNSET}, {83, Mode::DISABLE}},
             ""}});
  const auto effective = For(all);
  EXPECT_EQ(effective.ports.size(), 2u);
  EXPECT_FALSE(effective.StrictFor(80));
  EXPECT_TRUE(effective.StrictFor(81));
  EXPECT_TRUE(effective.StrictFor(82));
  EXPECT_FALSE(effective.StrictFor(83));
  EXPECT_TRUE(effective.StrictFor(9999));
  EXPECT_NE(effective.workload, nullptr);
}

}  // namespace
}  // namespace mesh::k8s
