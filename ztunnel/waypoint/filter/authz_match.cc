#include "ztunnel/waypoint/filter/authz_match.h"

#include <algorithm>

#include "proto/l7_common.pb.h"
#include "ztunnel/base/status.h"

namespace mesh::filter {
namespace {

using l7::v1::StringMatch;
using route::TextMatch;

}  // namespace

absl::StatusOr<TextSet> TextSet::Compile(
    const google::protobuf::RepeatedPtrField<StringMatch>& list) {
  TextSet out;
  for (int i = 0; i < list.size(); ++i) {
    ASSIGN_OR_RETURN(TextMatch match,
                     WithContext(TextMatch::Compile(list[i]), fmt::format("[{}]", i)));
    if (match.kind() == TextMatch::Kind::kExact && !match.ignore_case())
      out.exact_.insert(match.text());
    else
      out.others_.push_back(std::move(match));
  }
  return out;
}

bool TextSet::Matches(const std::optional<std::string_view>& value) const {
  if (value && !exact_.empty() && exact_.contains(*value)) return true;
  return std::any_of(others_.begin(), others_.end(),
                     [&value](const TextMatch& match) { return match.Matches(value); });
}

absl::StatusOr<PathSet> PathSet::Compile(
    const google::protobuf::RepeatedPtrField<l7::v1::PathMatch>& list) {
  PathSet out;
  for (int i = 0; i < list.size(); ++i) {
    ASSIGN_OR_RETURN(route::PathMatch match,
                     WithContext(route::PathMatch::Compile(list[i]), fmt::format("[{}]", i)));
    if (match.kind() == route::PathMatch::Kind::kExact && !match.ignore_case())
      out.exact_.insert(match.text());
    else
      out.others_.push_back(std::move(match));
  }
  return out;
}

bool PathSet::Matches(std::string_view path) const {
  if (!exact_.empty() && exact_.contains(path)) return true;
  return std::any_of(others_.begin(), others_.end(),
                     [path](const route::PathMatch& match) { return match.Matches(path); });
}

absl::Status AccountSet::Add(const std::string& account) {
  const size_t slash = account.find('/');
  if (slash == 0 || slash == account.npos || slash + 1 == account.size() ||
      account.find('/', slash + 1) != account.npos)
    return Invalid("\"{}\" is no namespace/name", account);
  accounts_.push_back(account);
  return absl::OkStatus();
}

bool AccountSet::Matches(std::string_view ns, std::string_view service_account) const {
  return std::any_of(accounts_.begin(), accounts_.end(), [&](std::string_view account) {
    return account.size() == ns.size() + 1 + service_account.size() && account.starts_with(ns) &&
           account[ns.size()] == '/' && account.ends_with(service_account);
  });
}

absl::StatusOr<RequestPrincipalSet::Match> RequestPrincipalSet::CompileOne(
    const StringMatch& match) {
  Match out;
  const bool exact = match.how_case() == StringMatch::kExact;
  const bool prefix = match.how_case() == StringMatch::kPrefix;
  const bool suffix = match.how_case() == StringMatch::kSuffix;
  if (match.ignore_case() || (!exact && !prefix && !suffix)) {
    ASSIGN_OR_RETURN(out.whole, TextMatch::Compile(match));
    return out;
  }
  const std::string& text = exact ? match.exact() : prefix ? match.prefix() : match.suffix();
  const size_t slash = text.rfind('/');
  StringMatch issuer, subject;
  if (slash == text.npos) {
    ASSIGN_OR_RETURN((prefix   ? out.issuer
                      : suffix ? out.subject
                               : out.whole),
                     TextMatch::Compile(match));
    return out;
  }
  const std::string before = text.substr(0, slash), after = text.substr(slash + 1);
  if (suffix) {
    issuer.set_suffix(before);
    subject.set_exact(after);
  } else {
    issuer.set_exact(before);
    if (prefix)
      subject.set_prefix(after);
    else
      subject.set_exact(after);
  }
  ASSIGN_OR_RETURN(out.issuer, TextMatch::Compile(issuer));
  ASSIGN_OR_RETURN(out.subject, TextMatch::Compile(subject));
  return out;
}

absl::StatusOr<RequestPrincipalSet> RequestPrincipalSet::Compile(
    const google::protobuf::RepeatedPtrField<StringMatch>& list) {
  RequestPrincipalSet out;
  for (int i = 0; i < list.size(); ++i) {
    ASSIGN_OR_RETURN(Match match, WithContext(CompileOne(list[i]), fmt::format("[{}]", i)));
    out.matches_.push_back(std::move(match));
  }
  return out;
}

bool RequestPrincipalSet::Matches(const Token* token) const {
  return std::any_of(matches_.begin(), matches_.end(), [token](const Match& match) {
    if (token == nullptr) {
      return match.whole && match.whole->Matches(std::optional<std::string_view>());
    }
    return (!match.issuer || match.issuer->Matches(std::string_view(token->issuer))) &&
           (!match.subject || match.subject->Matches(std::string_view(token->subject))) &&
           (!match.whole ||
            match.whole->Matches(std::string_view(token->issuer + "/" + token->subject)));
  });
}

absl::StatusOr<PortSet> PortSet::Compile(const google::protobuf::RepeatedField<uint32_t>& list) {
  PortSet out;
  for (int i = 0; i < list.size(); ++i) {
    if (list[i] == 0 || list[i] > 65'535) return Invalid("[{}]: port {}", i, list[i]);
    out.ports_.Add(static_cast<uint16_t>(list[i]));
  }
  out.ports_.Finish();
  return out;
}

absl::StatusOr<authz::CidrMatcher> CompileCidrs(
    const google::protobuf::RepeatedPtrField<l7::v1::Cidr>& list) {
  authz::CidrMatcher out;
  for (int i = 0; i < list.size(); ++i) {
    const std::string& bytes = list[i].address();
    const auto ip = IpAddress::FromBytes(bytes);
    if (!ip || (bytes.size() == 16 && ip->IsV4()))
      return Invalid("[{}]: an address of {} bytes", i, bytes.size());
    if (list[i].length() > 8 * bytes.size()) return Invalid("[{}]: length {}", i, list[i].length());
    out.Add(IpPrefix::Masked(*ip, static_cast<uint8_t>(list[i].length())));
  }
  return out;
}

bool MatchesClaim(const TextSet& set, const Token* token, const std::vector<std::string>& way) {
  using google::protobuf::Value;
  if (token == nullptr || way.empty()) return set.Matches(std::nullopt);
  const google::protobuf::Struct* level = &token->claims;
  const Value* value = nullptr;
  for (const std::string& name : way) {
    if (level == nullptr) return set.Matches(std::nullopt);
    const auto found = level->fields().find(name);
    if (found == level->fields().end()) return set.Matches(std::nullopt);
    value = &found->second;
    level = value->has_struct_value() ? &value->struct_value() : nullptr;
  }
  if (value->has_list_value()) {
    const auto& values = value->list_value().values();
    return std::any_of(values.begin(), values.end(), [&set](const Value& one) {
      return one.has_string_value() && set.Matches(std::string_view(one.string_value()));
    });
  }
  return value->has_string_value() && set.Matches(std::string_view(value->string_value()));
}

}  // namespace mesh::filter
