// Random policies and connections, answered twice: by the compiled form and by an evaluator that
// reads the message as the rules are written.
#include <gtest/gtest.h>

#include <random>

#include "proto/authorization.pb.h"
#include "ztunnel/core/authz/policy.h"

namespace mesh::authz {
namespace {

namespace pb = istio::security;

bool Text(const pb::StringMatch& m, std::string_view v) {
  if (m.has_exact()) return v == m.exact();
  if (m.has_prefix()) return v.starts_with(m.prefix());
  if (m.has_suffix()) return v.ends_with(m.suffix());
  return !v.empty();
}

bool Cidr(const pb::Address& a, const IpAddress& ip) {
  return IpPrefix{*IpAddress::FromBytes(a.address()), static_cast<uint8_t>(a.length())}.Contains(
      ip);
}

template <typename List, typename Fn>
bool Any(const List& list, Fn fn) {
  for (const auto& item : list) {
    if (fn(item)) return true;
  }
  return false;
}

template <typename List, typename Fn>
bool Both(const List& wanted, const List& unwanted, Fn fn) {
  return (wanted.empty() || Any(wanted, fn)) && !Any(unwanted, fn);
}

bool ReferenceMatch(const pb::Match& m, const Connection& c) {
  if (m.ByteSizeLong() == 0) return false;
  const std::string ns = c.source ? c.source->ns : "";
  return Both(m.namespaces(), m.not_namespaces(), [&](const auto& s) { return Text(s, ns); }) &&
         Both(m.principals(), m.not_principals(),
              [&](const auto& s) { return c.source && Text(s, c.source->Principal()); }) &&
         Both(m.source_ips(), m.not_source_ips(),
              [&](const auto& a) { return Cidr(a, c.source_ip); }) &&
         Both(m.destination_ips(), m.not_destination_ips(),
              [&](const auto& a) { return Cidr(a, c.destination_ip); }) &&
         Both(m.destination_ports(), m.not_destination_ports(),
              [&](uint32_t p) { return p == c.destination_port; }) &&
         Both(m.service_accounts(), m.not_service_accounts(), [&](const auto& s) {
           return c.source && s.namespace_() == c.source->ns &&
                  s.serviceaccount() == c.source->service_account;
         });
}

bool ReferencePolicy(const pb::Authorization& a, const Connection& c) {
  return Any(a.groups(), [&](const pb::Group& group) {
    for (const pb::Rules& rule : group.rules()) {
      if (!rule.matches().empty() &&
          !Any(rule.matches(), [&](const pb::Match& m) { return ReferenceMatch(m, c); })) {
        return false;
      }
    }
    return true;
  });
}

bool ReferenceCheck(const std::vector<pb::Authorization>& policies, const Connection& c) {
  bool allow_policy = false;
  bool allowed = false;
  for (const auto& p : policies) {
    if (p.dry_run()) continue;
    if (p.action() == pb::DENY && ReferencePolicy(p, c)) return false;
    if (p.action() == pb::ALLOW) {
      allow_policy = true;
      allowed |= ReferencePolicy(p, c);
    }
  }
  return !allow_policy || allowed;
}

// A small world, so that random values often meet.
class World {
 public:
  explicit World(uint32_t seed) : random_(seed) {}

  Connection RandomConnection() {
    Connection c;
    if (Below(4) != 0) c.source = identity::Identity{"td", Word(), Word()};
    c.source_ip = Ip();
    c.destination_ip = Ip();
    c.destination_port = static_cast<uint16_t>(80 + Below(3));
    return c;
  }

  pb::Authorization RandomPolicy() {
    pb::Authorization a;
    a.set_name("p");
    a.set_action(Below(2) ? pb::DENY : pb::ALLOW);
    a.set_dry_run(Below(8) == 0);
    for (uint32_t g = Below(4); g > 0; --g) {
      pb::Group* group = a.add_groups();
      for (uint32_t r = Below(3); r > 0; --r) {
        pb::Rules* rule = group->add_rules();
        for (uint32_t m = Below(4); m > 0; --m) FillMatch(rule->add_matches());
      }
    }
    return a;
  }

  uint32_t Below(uint32_t n) { return random_() % n; }

 private:
  std::string Word() { return std::string(1, static_cast<char>('a' + Below(3))); }
  IpAddress Ip() {
    if (Below(3) == 0) return *IpAddress::Parse("fd00::" + std::to_string(Below(4)));
    return IpAddress::V4(0x0a000000 + (Below(4) << 16) + Below(4));
  }
  void FillText(pb::StringMatch* m, bool principal) {
    const std::string full = principal ? "td/ns/" + Word() + "/sa/" + Word() : Word();
    switch (Below(5)) {
      case 0:
        m->set_prefix(full.substr(0, Below(full.size() + 1)));
        break;
      case 1:
        m->set_suffix(full.substr(Below(full.size() + 1)));
        break;
      case 2:
        m->mutable_presence();
        break;
      default:
        m->set_exact(full);
    }
  }
  void FillAddress(pb::Address* a) {
    const IpAddress ip = Ip();
    a->set_address(ip.ToBytes());
    a->set_length(Below(3) == 0 ? Below(ip.IsV4() ? 33 : 129) : ip.IsV4() ? 32 : 128);
  }
  void FillMatch(pb::Match* m) {
    // Few fields at once, or nothing would ever match; sometimes enough values for the hashed
    // forms.
    for (uint32_t fields = Below(3); fields > 0; --fields) {
      const uint32_t values = Below(6) == 0 ? 12 : 1 + Below(2);
      const uint32_t field = Below(12);
      for (uint32_t i = 0; i < values; ++i) FillField(m, field);
    }
  }
  void FillField(pb::Match* m, uint32_t field) {
    switch (field) {
      case 0:
        return FillText(m->add_namespaces(), false);
      case 1:
        return FillText(m->add_not_namespaces(), false);
      case 2:
        return FillText(m->add_principals(), true);
      case 3:
        return FillText(m->add_not_principals(), true);
      case 4:
        return FillAddress(m->add_source_ips());
      case 5:
        return FillAddress(m->add_not_source_ips());
      case 6:
        return FillAddress(m->add_destination_ips());
      case 7:
        return FillAddress(m->add_not_destination_ips());
      case 8:
        return m->add_destination_ports(80 + Below(3));
      case 9:
        return m->add_not_destination_ports(80 + Below(3));
      default: {
        auto* s = field == 10 ? m->add_service_accounts() : m->add_not_service_accounts();
        s->set_namespace_(Word());
        s->set_serviceaccount(Word());
      }
    }
  }
  std::mt19937 random_;
};

TEST(Policy, CompiledFormAgreesWithTheReferenceOnRandomPolicies) {
  World world(20'261);
  int denied = 0, checks = 0;
  for (int round = 0; round < 3000; ++round) {
    std::vector<pb::Authorization> policies;
    std::vector<PolicyRef> compiled;
    for (uint32_t n = world.Below(4); n > 0; --n) {
      policies.push_back(world.RandomPolicy());
      policies.back().set_dry_run(false);  // logged one by one otherwise
      const auto policy = Compile(policies.back());
      ASSERT_TRUE(policy.ok()) << policy.status() << policies.back().DebugString();
      compiled.push_back(*policy);
    }
    for (int i = 0; i < 20; ++i) {
      const Connection c = world.RandomConnection();
      const bool want = ReferenceCheck(policies, c);
      const Decision got = Check(compiled, c);
      std::string all;
      for (const auto& p : policies) all += p.DebugString() + "--\n";
      ASSERT_EQ(got.allowed, want)
          << all << (c.source ? c.source->ToString() : "plain") << " " << c.source_ip.ToString()
          << " -> " << c.destination_ip.ToString() << ":" << c.destination_port;
      denied += !want;
      ++checks;
    }
  }
  // The test means something only when both answers are common.
  EXPECT_GT(denied, checks / 10);
  EXPECT_LT(denied, checks * 9 / 10);
}

}  // namespace
}  // namespace mesh::authz
