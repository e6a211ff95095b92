// From the wire's form to sets and indexes; refuses what it cannot hold exactly.
#include <absl/hash/hash.h>
#include <google/protobuf/repeated_field.h>

#include "ztunnel/base/status.h"
#include "ztunnel/core/authz/compiled.h"

namespace mesh::authz {
namespace {

namespace pb = istio::security;

absl::Status CompileStrings(const google::protobuf::RepeatedPtrField<pb::StringMatch>& in,
                            std::string_view field, StringMatcher& out) {
  for (int i = 0; i < in.size(); ++i) {
    switch (in[i].match_type_case()) {
      case pb::StringMatch::kExact:
        out.AddExact(in[i].exact());
        break;
      case pb::StringMatch::kPrefix:
        out.AddPrefix(in[i].prefix());
        break;
      case pb::StringMatch::kSuffix:
        out.AddSuffix(in[i].suffix());
        break;
      case pb::StringMatch::kPresence:
        out.AddPresence();
        break;
      case pb::StringMatch::MATCH_TYPE_NOT_SET:
        return Invalid("{}[{}] has no value", field, i);
    }
  }
  out.Finish();
  return absl::OkStatus();
}

absl::StatusOr<IpPrefix> ReadPrefix(const pb::Address& in) {
  const auto ip = IpAddress::FromBytes(std::string_view(in.address()));
  if (!ip) return Invalid("address of {} bytes, want 4 or 16", in.address().size());
  const size_t bits = in.address().size() * 8;
  if (in.length() > bits) {
    return Invalid("length {} of {} is over {}", in.length(), ip->ToString(), bits);
  }
  uint32_t length = in.length();
  if (ip->IsV4() && bits == 128) {  // ::ffff:a.b.c.d/n
    if (length < 96)
      return Invalid("length {} of v4-mapped {} is under 96", length, ip->ToString());
    length -= 96;
  }
  return IpPrefix::Masked(*ip, static_cast<uint8_t>(length));
}

absl::Status CompilePrefixes(const google::protobuf::RepeatedPtrField<pb::Address>& in,
                             std::string_view field, CidrMatcher& out) {
  for (int i = 0; i < in.size(); ++i) {
    const auto prefix = ReadPrefix(in[i]);
    if (!prefix.ok()) return WithContext(prefix.status(), fmt::format("{}[{}]", field, i));
    out.Add(*prefix);
  }
  return absl::OkStatus();
}

absl::Status CompilePorts(const google::protobuf::RepeatedField<uint32_t>& in,
                          std::string_view field, ValueMatcher<uint32_t>& out) {
  for (const uint32_t port : in) {
    if (port > 65535) return Invalid("{}: {} is no port", field, port);
    out.Add(port);
  }
  out.Finish();
  return absl::OkStatus();
}

template <typename Matcher>
void CompileAccounts(const google::protobuf::RepeatedPtrField<pb::ServiceAccountMatch>& in,
                     Matcher& out) {
  for (const auto& account : in) out.Add({account.namespace_(), account.serviceaccount()});
  out.Finish();
}

bool IsEmpty(const pb::Match& m) {
  return m.namespaces().empty() && m.not_namespaces().empty() && m.principals().empty() &&
         m.not_principals().empty() && m.source_ips().empty() && m.not_source_ips().empty() &&
         m.destination_ips().empty() && m.not_destination_ips().empty() &&
         m.destination_ports().empty() && m.not_destination_ports().empty() &&
         m.service_accounts().empty() && m.not_service_accounts().empty();
}

absl::StatusOr<CompiledMatch> CompileMatch(const pb::Match& in) {
  CompiledMatch out;
  RETURN_IF_ERROR(CompileStrings(in.namespaces(), "namespaces", out.namespaces));
  RETURN_IF_ERROR(CompileStrings(in.not_namespaces(), "not_namespaces", out.not_namespaces));
  RETURN_IF_ERROR(CompileStrings(in.principals(), "principals", out.principals));
  RETURN_IF_ERROR(CompileStrings(in.not_principals(), "not_principals", out.not_principals));
  RETURN_IF_ERROR(CompilePrefixes(in.source_ips(), "source_ips", out.source_ips));
  RETURN_IF_ERROR(CompilePrefixes(in.not_source_ips(), "not_source_ips", out.not_source_ips));
  RETURN_IF_ERROR(CompilePrefixes(in.destination_ips(), "destination_ips", out.destination_ips));
  RETURN_IF_ERROR(
      CompilePrefixes(in.not_destination_ips(), "not_destination_ips", out.not_destination_ips));
  RETURN_IF_ERROR(CompilePorts(in.destination_ports(), "destination_ports", out.ports));
  RETURN_IF_ERROR(CompilePorts(in.not_destination_ports(), "not_destination_ports", out.not_ports));
  CompileAccounts(in.service_accounts(), out.accounts);
  CompileAccounts(in.not_service_accounts(), out.not_accounts);
  return out;
}

std::optional<Keys> KeysOf(const CompiledMatch& m) {
  Keys out;
  if (m.principals.OnlyExact()) {
    out.rank = 1;
    for (const auto& p : m.principals.exact()) out.keys.push_back(PrincipalKey(p));
  } else if (!m.accounts.empty()) {
    out.rank = 1;
    for (const auto& [ns, sa] : m.accounts.values()) out.keys.push_back(AccountKey(ns, sa));
  } else if (!m.source_ips.empty()) {
    out.rank = 2;
    out.prefixes = m.source_ips.prefixes();
    for (const IpPrefix& p : out.prefixes) out.keys.push_back(PrefixKey(p));
  } else if (m.namespaces.OnlyExact()) {
    out.rank = 3;
    for (const auto& ns : m.namespaces.exact()) out.keys.push_back(NamespaceKey(ns));
  } else if (!m.ports.empty()) {
    out.rank = 4;
    for (const uint32_t port : m.ports.values()) out.keys.push_back(PortKey(port));
  } else {
    return std::nullopt;
  }
  return out;
}

// A rule needs one of its matches' keys; none when a match has no key.
std::optional<Keys> KeysOf(const CompiledRule& rule) {
  if (rule.always) return std::nullopt;
  Keys out;
  for (const CompiledMatch& match : rule.matches) {
    const auto keys = KeysOf(match);
    if (!keys) return std::nullopt;
    out.rank = std::max(out.rank, keys->rank);
    out.keys.insert(out.keys.end(), keys->keys.begin(), keys->keys.end());
    out.prefixes.insert(out.prefixes.end(), keys->prefixes.begin(), keys->prefixes.end());
  }
  return out;
}

// A group needs all its rules, so the best of their keys will do.
std::optional<Keys> KeysOf(const CompiledGroup& group) {
  std::optional<Keys> best;
  for (const CompiledRule& rule : group.rules) {
    auto keys = KeysOf(rule);
    if (keys && (!best || keys->rank < best->rank)) best = std::move(keys);
  }
  return best;
}

absl::StatusOr<CompiledRule> CompileRule(const pb::Rules& in) {
  CompiledRule out;
  out.always = in.matches().empty();
  for (int i = 0; i < in.matches_size(); ++i) {
    auto match = CompileMatch(in.matches(i));
    if (!match.ok()) return WithContext(match.status(), fmt::format("matches[{}]", i));
    if (IsEmpty(in.matches(i))) continue;
    out.index.Add(static_cast<uint32_t>(out.matches.size()), KeysOf(*match));
    out.matches.push_back(*std::move(match));
  }
  return out;
}

absl::StatusOr<CompiledGroup> CompileGroup(const pb::Group& in) {
  CompiledGroup out;
  for (int i = 0; i < in.rules_size(); ++i) {
    auto rule = CompileRule(in.rules(i));
    if (!rule.ok()) return WithContext(rule.status(), fmt::format("rules[{}]", i));
    out.rules.push_back(*std::move(rule));
  }
  return out;
}

}  // namespace

uint64_t PrincipalKey(std::string_view principal) {
  return absl::HashOf('p', std::string_view(principal));
}
uint64_t AccountKey(std::string_view ns, std::string_view account) {
  return absl::HashOf('s', ns, account);
}
uint64_t NamespaceKey(std::string_view ns) { return absl::HashOf('n', ns); }
uint64_t PortKey(uint32_t port) { return absl::HashOf('d', port); }
uint64_t PrefixKey(const IpPrefix& masked) {
  return absl::HashOf('i', masked.address, masked.length);
}

void Index::Add(uint32_t id, const std::optional<Keys>& keys) {
  if (!keys) {
    always_.push_back(id);
    return;
  }
  for (const uint64_t key : keys->keys) {
    std::vector<uint32_t>& ids = by_key_[key];
    if (ids.empty() || ids.back() != id) ids.push_back(id);
  }
  for (const IpPrefix& prefix : keys->prefixes) lengths_.Add(prefix);
}

absl::StatusOr<PolicyRef> Compile(const pb::Authorization& authorization) {
  auto out = std::make_shared<Policy>();
  out->key = authorization.namespace_() + "/" + authorization.name();
  const auto refused = [&](const absl::Status& s) { return WithContext(s, "policy " + out->key); };
  if (authorization.name().empty()) return refused(Invalid("name is empty"));
  switch (authorization.scope()) {
    case pb::GLOBAL:
      out->scope = PolicyScope::kGlobal;
      break;
    case pb::NAMESPACE:
      out->scope = PolicyScope::kNamespace;
      break;
    case pb::WORKLOAD_SELECTOR:
      out->scope = PolicyScope::kWorkloadSelector;
      break;
    default:
      return refused(Invalid("scope {} is unknown", static_cast<int>(authorization.scope())));
  }
  if (!pb::Action_IsValid(authorization.action())) {
    return refused(Invalid("action {} is unknown", static_cast<int>(authorization.action())));
  }
  out->deny = authorization.action() == pb::DENY;
  out->dry_run = authorization.dry_run();
  for (int i = 0; i < authorization.groups_size(); ++i) {
    auto group = CompileGroup(authorization.groups(i));
    if (!group.ok()) return refused(WithContext(group.status(), fmt::format("groups[{}]", i)));
    out->index.Add(static_cast<uint32_t>(i), KeysOf(*group));
    out->groups.push_back(*std::move(group));
  }
  out->source = authorization;
  return PolicyRef(std::move(out));
}

std::string KeyOf(const Policy& policy) { return policy.key; }
PolicyScope ScopeOf(const Policy& policy) { return policy.scope; }
const pb::Authorization& SourceOf(const Policy& policy) { return policy.source; }

}  // namespace mesh::authz
