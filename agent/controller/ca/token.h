// Who calls: service-account tokens, checked.
#pragma once

#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include <string>
#include <string_view>

#include "agent/controller/ca/openssl_ptr.h"

namespace mesh::controller {

// The claims of a bound token that matter here.
struct Caller {
  std::string ns;
  std::string service_account;
  std::string pod_name;
  std::string pod_uid;
  std::string node;
};

// The claims of a payload (JSON text) whose signature was checked.
absl::StatusOr<Caller> ReadClaims(std::string_view payload, absl::Time now);

// The seam: a key on disk in local mode, the API server's TokenReview in a cluster.
class TokenReviewer {
 public:
  virtual ~TokenReviewer() = default;
  // Thread-safe. Unauthenticated, with the reason for the log, when the token does not hold.
  virtual absl::StatusOr<Caller> Review(std::string_view token, absl::Time now) const = 0;
};

// JWTs signed ES256 with one key: issuer kubernetes/serviceaccount, audience istio-ca, Kubernetes'
// bound token claims.
class JwtReviewer : public TokenReviewer {
 public:
  static absl::StatusOr<JwtReviewer> Create(std::string_view public_key_pem);
  absl::StatusOr<Caller> Review(std::string_view token, absl::Time now) const override;

 private:
  explicit JwtReviewer(KeyPtr key) : key_(std::move(key)) {}
  absl::Status CheckSignature(std::string_view signed_part, std::string_view signature) const;
  KeyPtr key_;
};

}  // namespace mesh::controller
