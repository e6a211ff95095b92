// For tests: a certificate authority of their own, in memory.
#pragma once

#include <openssl/x509.h>

#include <string>
#include <vector>

#include "ztunnel/core/identity/certificate_manager.h"

namespace mesh::tls {

class TestCa {
 public:
  TestCa();
  ~TestCa();
  TestCa(const TestCa&) = delete;
  TestCa& operator=(const TestCa&) = delete;

  // A certificate with `uri` as its name (any text, so that bad ones can be made), and its key.
  struct Issued {
    std::string key_pem;
    std::vector<std::string> chain_pem;  // leaf, root
  };
  Issued Issue(const std::string& uri) const;
  // The same for an identity, ready for handshakes. Ends the process when it cannot.
  identity::CertificateRef Certificate(const identity::Identity& id) const;
  // Signs the key of a request.
  std::vector<std::string> SignCsr(const std::string& csr_pem, const std::string& uri) const;
  std::string root_pem() const;

 private:
  std::string Sign(EVP_PKEY* key, const std::string& uri) const;
  EVP_PKEY* key_ = nullptr;
  X509* root_ = nullptr;
};

// What a CertificateManager asks in tests.
class TestAuthority final : public identity::CertificateAuthority {
 public:
  explicit TestAuthority(const TestCa& ca) : ca_(ca) {}
  absl::StatusOr<std::vector<std::string>> Sign(const identity::Identity& id, const std::string& csr_pem,
                                                absl::Duration) override {
    return ca_.SignCsr(csr_pem, id.ToString());
  }

 private:
  const TestCa& ca_;
};

}  // namespace mesh::tls
