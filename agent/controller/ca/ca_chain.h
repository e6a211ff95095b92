// The certificates of a signing key as they stand in its directory: ca-cert.pem, what is above it
// (cert-chain.pem, where there is one), and the roots that peers hold (root-cert.pem).
//
// Values; errors name the file at fault.
#pragma once

#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include <string>
#include <vector>

#include "agent/controller/ca/openssl_ptr.h"

namespace mesh::controller {

struct CaChain {
  CertPtr cert;                // ca-cert.pem
  std::vector<CertPtr> above;  // intermediates between it and a root
  std::vector<CertPtr> roots;  // root-cert.pem; several while one takes another's place
  absl::Time not_after;        // of `cert` or of an intermediate, the earlier one

  // What is sent along with a leaf: `cert` and `above`; empty when `cert` is itself a root.
  std::string Pem() const;
};

// cert-chain.pem may begin with ca-cert.pem and end with a root, as Istio's does; both are left
// out. A certificate that may not sign, or not today, is an error.
absl::StatusOr<CaChain> ReadCaChain(const std::string& directory);

// What a peer that holds the roots alone makes of `leaf`, sent with Pem().
absl::Status VerifyAsPeer(const CaChain& chain, X509* leaf);

std::string CertText(X509* cert);
absl::Time TimeOf(const ASN1_TIME* time);

}  // namespace mesh::controller
