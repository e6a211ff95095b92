// A workload's identity: spiffe://<trust domain>/ns/<namespace>/sa/<service account>.
#pragma once

#include <absl/status/statusor.h>

#include <compare>
#include <string>
#include <string_view>

namespace mesh {

struct SpiffeId {
  std::string trust_domain;
  std::string ns;
  std::string service_account;

  // Exactly those five parts and none empty; anything else is an error that quotes the input.
  static absl::StatusOr<SpiffeId> Parse(std::string_view uri);
  std::string ToString() const;   // with spiffe://
  std::string Principal() const;  // without, as policies write it

  auto operator<=>(const SpiffeId&) const = default;

  template <typename H>
  friend H AbslHashValue(H h, const SpiffeId& id) {
    return H::combine(std::move(h), id.trust_domain, id.ns, id.service_account);
  }
};

}  // namespace mesh
