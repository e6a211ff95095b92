// A fresh key and the request to certify it, as a node proxy sends it: ECDSA P-256, empty subject,
// the SPIFFE id as the only subject alternative name, critical because the subject is empty (RFC
// 5280, section 4.2.1.6). Thread-safe.
#pragma once

#include <absl/status/statusor.h>

#include <string>

#include "ztunnel/core/identity/identity.h"

namespace mesh::identity {

struct KeyAndRequest {
  std::string key_pem;  // PKCS#8; wiped when this dies
  std::string csr_pem;

  KeyAndRequest() = default;
  KeyAndRequest(KeyAndRequest&&) = default;
  KeyAndRequest& operator=(KeyAndRequest&&) = default;
  ~KeyAndRequest();
};

absl::StatusOr<KeyAndRequest> MakeKeyAndRequest(const Identity& identity);

}  // namespace mesh::identity
