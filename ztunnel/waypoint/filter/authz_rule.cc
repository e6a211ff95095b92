#include "ztunnel/waypoint/filter/authz_rule.h"

#include <algorithm>

#include "proto/l7_policy.pb.h"
#include "ztunnel/waypoint/route/match_index.h"

namespace mesh::filter {
namespace {

using l7::v1::Condition;

std::optional<std::string_view> IfThere(std::string_view text) {
  return text.empty() ? std::nullopt : std::optional(text);
}

bool MatchesAudience(const TextSet& set, const Token* token) {
  if (token == nullptr) return set.Matches(std::nullopt);
  return std::any_of(
      token->audiences.begin(), token->audiences.end(),
      [&set](const std::string& audience) { return set.Matches(std::string_view(audience)); });
}

// Of attributes that may have several values: one is wanted, and none unwanted.
template <typename Matches>
bool AcceptsEach(const Both<TextSet>& both, const Matches& matches) {
  return (both.wanted.empty() || matches(both.wanted)) &&
         (both.unwanted.empty() || !matches(both.unwanted));
}

bool AcceptsHeader(const ConditionMatch& match, const RequestAttributes& request) {
  std::string joined;
  return match.values.Accepts(route::HeaderValue(*request.request, match.name, joined));
}

}  // namespace

bool SourceMatch::Accepts(const RequestAttributes& request) const {
  const PeerView& peer = request.source;
  if (!principals.Accepts(IfThere(peer.principal)) || !namespaces.Accepts(IfThere(peer.ns)) ||
      !trust_domains.Accepts(IfThere(peer.trust_domain)) ||
      !service_accounts.Accepts(peer.ns, peer.service_account) ||
      !ip_blocks.Accepts(request.source_ip) || !remote_ip_blocks.Accepts(request.remote_ip))
    return false;
  return request.request == nullptr || request_principals.Accepts(request.token);
}

bool OperationMatch::Accepts(const RequestAttributes& request) const {
  if (!ports.Accepts(request.destination_port)) return false;
  if (request.request == nullptr) return true;
  const route::RequestView& http = *request.request;
  return hosts.Accepts(std::optional(http.authority)) &&
         methods.Accepts(std::optional(http.method)) && paths.Accepts(http.path);
}

bool ConditionMatch::has_http() const {
  switch (attribute) {
    case Condition::HEADER:
    case Condition::REQUEST_PRINCIPAL:
    case Condition::AUDIENCE:
    case Condition::PRESENTER:
    case Condition::CLAIM:
      return true;
    default:
      return false;
  }
}

bool ConditionMatch::Accepts(const RequestAttributes& request) const {
  if (request.request == nullptr && has_http()) return true;
  const PeerView& peer = request.source;
  switch (attribute) {
    case Condition::HEADER:
      return AcceptsHeader(*this, request);
    case Condition::SOURCE_IP:
      return blocks.Accepts(request.source_ip);
    case Condition::REMOTE_IP:
      return blocks.Accepts(request.remote_ip);
    case Condition::DESTINATION_IP:
      return blocks.Accepts(request.destination_ip);
    case Condition::SOURCE_NAMESPACE:
      return values.Accepts(IfThere(peer.ns));
    case Condition::SOURCE_PRINCIPAL:
      return values.Accepts(IfThere(peer.principal));
    case Condition::SOURCE_TRUST_DOMAIN:
      return values.Accepts(IfThere(peer.trust_domain));
    case Condition::SOURCE_SERVICE_ACCOUNT:
      return accounts.Accepts(peer.ns, peer.service_account);
    case Condition::DESTINATION_PORT:
      return ports.Accepts(request.destination_port);
    case Condition::SNI:
      return values.Accepts(IfThere(request.sni));
    case Condition::REQUEST_PRINCIPAL:
      return request_principals.Accepts(request.token);
    case Condition::PRESENTER:
      return values.Accepts(request.token == nullptr ? std::nullopt
                                                     : IfThere(request.token->presenter));
    case Condition::AUDIENCE:
      return AcceptsEach(values,
                         [&](const TextSet& set) { return MatchesAudience(set, request.token); });
    case Condition::CLAIM:
      return AcceptsEach(
          values, [&](const TextSet& set) { return MatchesClaim(set, request.token, claim); });
    default:
      return false;
  }
}

bool Rule::Accepts(const RequestAttributes& request) const {
  const auto accepts = [&request](const auto& match) { return match.Accepts(request); };
  return (from.empty() || std::any_of(from.begin(), from.end(), accepts)) &&
         (to.empty() || std::any_of(to.begin(), to.end(), accepts)) &&
         std::all_of(when.begin(), when.end(), accepts);
}

}  // namespace mesh::filter
