// One JSON Web Token (RFC 7515, 7519): taken apart, checked, and what it says.
#pragma once

#include <absl/time/time.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ztunnel/waypoint/filter/jwt_keys.h"
#include "ztunnel/waypoint/filter/token.h"

namespace mesh::filter {

enum class JwtError : uint8_t {
  kNone,
  kMalformed,
  kAlgorithm,  // none, or one that is not known
  kIssuer,     // of no rule
  kAudience,   // the only one that is answered 403
  kExpired,
  kNotYetValid,
  kNoKey,
  kSignature,
  kNoKeySet,  // the rule has no keys
};
// As the answer's body says it.
std::string_view JwtErrorText(JwtError error);

// Header and payload, not yet believed.
struct ParsedJwt {
  std::string algorithm, key_id;
  std::string_view signed_text;  // of the token's text
  std::string_view payload;      // base64url, of the token's text
  std::string signature;
  Token token;  // issuer, subject, presenter, audiences, claims
  std::optional<double> expires, not_before;
};
// Nothing when it has not the form; at most 16 KiB. Views are into `text`.
std::optional<ParsedJwt> ParseJwt(std::string_view text);

struct JwtExpectations {
  std::string_view issuer;                 // empty: not checked
  std::span<const std::string> audiences;  // none: not checked
  const KeySet* keys = nullptr;            // null: refused
};
// Time limits are lenient by a minute.
JwtError CheckJwt(const ParsedJwt& jwt, const JwtExpectations& expected, absl::Time now);

}  // namespace mesh::filter
