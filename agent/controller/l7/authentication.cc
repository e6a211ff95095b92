#include "agent/controller/l7/authentication.h"

#include <fmt/format.h>

namespace mesh::controller {

namespace l7 = mesh::l7::v1;

l7::Authentication TranslateAuthentication(const api::RequestAuthentication& object) {
  l7::Authentication out;
  for (const api::JwtRule& rule : object.spec().jwt_rules()) {
    l7::Authentication::Issuer& issuer = *out.add_issuers();
    issuer.set_issuer(rule.issuer());
    issuer.mutable_audiences()->CopyFrom(rule.audiences());
    issuer.set_jwks(rule.jwks());
    if (rule.jwks().empty()) {
      issuer.set_jwks_problem(
          fmt::format("the keys of {} are not fetched: give them as jwks",
                      rule.jwks_uri().empty() ? rule.issuer() : rule.jwks_uri()));
    }
    for (const api::JwtHeader& header : rule.from_headers()) {
      l7::Authentication::Place& place = *issuer.add_headers();
      place.set_name(header.name());
      place.set_prefix(header.prefix());
    }
    issuer.mutable_parameters()->CopyFrom(rule.from_params());
    issuer.mutable_cookies()->CopyFrom(rule.from_cookies());
    if (issuer.headers().empty() && issuer.parameters().empty() && issuer.cookies().empty()) {
      issuer.add_headers()->set_name("authorization");
      issuer.mutable_headers(0)->set_prefix("Bearer ");
      issuer.add_parameters("access_token");
    }
    issuer.set_payload_header(rule.output_payload_to_header());
    issuer.set_forward_token(rule.forward_original_token());
    for (const api::ClaimToHeader& claim : rule.output_claim_to_headers()) {
      l7::Authentication::ClaimHeader& header = *issuer.add_claim_headers();
      header.set_header(claim.header());
      std::string_view rest = claim.claim();
      while (true) {
        const size_t dot = rest.find('.');
        header.add_claim(std::string(rest.substr(0, dot)));
        if (dot == std::string_view::npos) break;
        rest.remove_prefix(dot + 1);
      }
    }
    issuer.add_space_delimited_claims("scope");
    issuer.add_space_delimited_claims("permission");
    for (const std::string& claim : rule.space_delimited_claims()) {
      issuer.add_space_delimited_claims(claim);
    }
  }
  return out;
}

}  // namespace mesh::controller
