// spiffe://<trust domain>/ns/<namespace>/sa/<service account>, as the certificate authority reads
// it.
#pragma once

#include <absl/status/statusor.h>

#include <string>
#include <string_view>

namespace mesh::controller {

struct SpiffeId {
  std::string trust_domain;
  std::string ns;
  std::string service_account;

  // Exactly those parts, none empty, of the characters that names and domains have.
  static absl::StatusOr<SpiffeId> Parse(std::string_view uri);
  std::string ToString() const;
  bool operator==(const SpiffeId&) const = default;
};

}  // namespace mesh::controller
