// Tokens of service accounts: what a kubelet would project into the pod of a proxy, signed here.
// JWT with ES256 and the claims of Kubernetes' bound service account tokens; the controller checks
// them with the public key.
#pragma once

#include <absl/status/statusor.h>
#include <absl/time/time.h>
#include <openssl/evp.h>

#include <memory>
#include <string>

namespace mesh::local {

class TokenSigner {
 public:
  // Reads PKI/sa.key, or makes it and sa.pub.
  static absl::StatusOr<TokenSigner> Open(const std::string& pki_dir);

  struct Subject {
    std::string node, node_uid, pod_name, pod_uid;
    std::string ns = "istio-system", service_account = "ztunnel";
  };
  absl::StatusOr<std::string> Sign(const Subject& subject, absl::Time now,
                                   absl::Duration lifetime) const;

 private:
  explicit TokenSigner(std::shared_ptr<EVP_PKEY> key) : key_(std::move(key)) {}
  std::shared_ptr<EVP_PKEY> key_;
};

std::string Base64Url(std::string_view bytes);
// A random (version 4) UUID.
std::string NewUid();

}  // namespace mesh::local
