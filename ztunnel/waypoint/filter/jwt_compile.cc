#include <algorithm>

#include "proto/l7_policy.pb.h"
#include "ztunnel/base/status.h"
#include "ztunnel/waypoint/filter/jwt.h"
#include "ztunnel/waypoint/route/compile.h"

namespace mesh::filter {
namespace {

constexpr size_t kMaxRules = 4096;

absl::StatusOr<std::string> HeaderName(const std::string& name) {
  std::string lower = route::Lower(name);
  if (!http::IsFieldName(lower)) return Invalid("\"{}\" is no header name", name);
  return lower;
}

absl::Status CompilePlaces(const l7::v1::Authentication::Issuer& issuer, JwtRule& out) {
  for (int i = 0; i < issuer.headers_size(); ++i) {
    ASSIGN_OR_RETURN(std::string name, WithContext(HeaderName(issuer.headers(i).name()),
                                                   fmt::format("headers[{}]", i)));
    out.headers.push_back({std::move(name), issuer.headers(i).prefix()});
  }
  out.parameters.assign(issuer.parameters().begin(), issuer.parameters().end());
  out.cookies.assign(issuer.cookies().begin(), issuer.cookies().end());
  if (out.headers.empty() && out.parameters.empty() && out.cookies.empty()) {
    out.headers.push_back({"authorization", "Bearer "});
    out.parameters.push_back("access_token");
  }
  return absl::OkStatus();
}

absl::Status CompileOutputs(const l7::v1::Authentication::Issuer& issuer, JwtRule& out) {
  if (!issuer.payload_header().empty()) {
    ASSIGN_OR_RETURN(out.payload_header,
                     WithContext(HeaderName(issuer.payload_header()), "payload_header"));
  }
  for (int i = 0; i < issuer.claim_headers_size(); ++i) {
    const auto& claim = issuer.claim_headers(i);
    const std::string where = fmt::format("claim_headers[{}]", i);
    ASSIGN_OR_RETURN(std::string name, WithContext(HeaderName(claim.header()), where));
    if (claim.claim().empty()) return Invalid("{}: no claim", where);
    out.claim_headers.push_back({std::move(name), {claim.claim().begin(), claim.claim().end()}});
  }
  return absl::OkStatus();
}

absl::StatusOr<JwtRule> CompileIssuer(const l7::v1::Authentication::Issuer& issuer) {
  JwtRule out;
  out.issuer = issuer.issuer();
  out.audiences.assign(issuer.audiences().begin(), issuer.audiences().end());
  if (issuer.jwks_problem().empty()) {
    absl::StatusOr<KeySet> keys = KeySet::Parse(issuer.jwks());
    if (keys.ok()) out.keys = *std::move(keys);
  }
  RETURN_IF_ERROR(CompilePlaces(issuer, out));
  RETURN_IF_ERROR(CompileOutputs(issuer, out));
  out.forward_token = issuer.forward_token();
  out.space_delimited_claims = {"scope", "permission"};
  for (const std::string& claim : issuer.space_delimited_claims())
    out.space_delimited_claims.push_back(claim);
  return out;
}

}  // namespace

absl::StatusOr<std::shared_ptr<const JwtRules>> JwtRules::Compile(
    std::span<const l7::v1::Authentication* const> authentications) {
  auto out = std::make_shared<JwtRules>();
  for (const l7::v1::Authentication* authentication : authentications) {
    for (int i = 0; i < authentication->issuers_size(); ++i) {
      ASSIGN_OR_RETURN(JwtRule rule, WithContext(CompileIssuer(authentication->issuers(i)),
                                                 fmt::format("issuers[{}]", i)));
      // In the order of issuers, else as they came.
      const auto behind = std::upper_bound(
          out->rules_.begin(), out->rules_.end(), rule.issuer,
          [](const std::string& issuer, const JwtRule& other) { return issuer < other.issuer; });
      out->rules_.insert(behind, std::move(rule));
      if (out->rules_.size() > kMaxRules) return Invalid("issuers: more than {}", kMaxRules);
    }
  }
  return out;
}

}  // namespace mesh::filter
