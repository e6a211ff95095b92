// RequestAuthentication: finds the tokens of a request, believes or refuses them, and changes the
// request as the rules say.
//
// Compiled when the snapshot is published; immutable and thread-safe. A request without token is
// accepted, without a token: what it may do is the policies' business. A CORS preflight is not to
// be given to Authenticate.
#pragma once

#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ztunnel/waypoint/filter/jwt_keys.h"
#include "ztunnel/waypoint/filter/jwt_token.h"
#include "ztunnel/waypoint/filter/token.h"
#include "ztunnel/waypoint/http/message.h"

namespace mesh::l7::v1 {
class Authentication;
}

namespace mesh::filter {

// One issuer of one Authentication.
struct JwtRule {
  struct Place {
    std::string header;  // lower case
    std::string prefix;  // verbatim, before the token
  };
  struct ClaimHeader {
    std::string header;  // lower case
    std::vector<std::string> claim;
  };
  std::string issuer;
  std::vector<std::string> audiences;
  std::optional<KeySet> keys;  // none: its tokens are refused
  std::vector<Place> headers;
  std::vector<std::string> parameters, cookies;
  std::string payload_header;  // empty: none
  bool forward_token = false;
  std::vector<ClaimHeader> claim_headers;
  std::vector<std::string> space_delimited_claims;  // scope and permission among them
};

// All Authentication resources that are in force for a target.
class JwtRules {
 public:
  // The error names the field. Keys that cannot be read are no error: tokens of that issuer are
  // refused, others are not concerned.
  static absl::StatusOr<std::shared_ptr<const JwtRules>> Compile(
      std::span<const l7::v1::Authentication* const> authentications);

  const std::vector<JwtRule>& rules() const { return rules_; }

 private:
  std::vector<JwtRule> rules_;
};

struct JwtVerdict {
  bool accepted = true;
  std::optional<Token> token;  // of the first rule that believes its tokens
  // When refused: 401 or 403, the body, and for www-authenticate.
  uint16_t status = 0;
  std::string_view reason;
  std::string challenge;
};

// Accepted when there is no token in any rule's places, or a rule believes all tokens in its own.
// Then `head` loses tokens that are not to be forwarded, and gets the headers that the rule asks
// for; headers of those names that the client sent go in any case.
JwtVerdict Authenticate(const JwtRules& rules, http::RequestHead& head, absl::Time now);

}  // namespace mesh::filter
