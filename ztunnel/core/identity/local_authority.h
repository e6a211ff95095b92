// A certificate authority inside the process: signs what it is asked, under a root of its own that
// nobody else trusts. For tests, which tell it to fail or to lie, and for FAKE_CA. Thread-safe.
#pragma once

#include <atomic>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "ztunnel/core/identity/certificate_manager.h"
#include "ztunnel/core/identity/pem.h"

namespace mesh::identity {

class LocalAuthority : public CertificateAuthority {
 public:
  LocalAuthority();

  absl::StatusOr<std::vector<std::string>> Sign(const Identity& identity,
                                                const std::string& csr_pem,
                                                absl::Duration lifetime) override;
  // A key and a certificate in one step.
  absl::StatusOr<CertificateRef> Issue(const Identity& identity,
                                       absl::Duration lifetime = absl::Hours(1));

  const std::string& root_pem() const { return root_pem_; }
  std::string root_key_pem() const;
  int calls() const { return calls_; }
  void FailWith(absl::Status status);    // OK: sign again
  void IssueFor(const Identity& other);  // what the next answers are for, whatever is asked
  void SetNow(absl::Time now);           // notBefore of what is issued; default: the wall clock

 private:
  EvpKeyPtr key_;
  X509Ptr root_;
  std::string root_pem_;
  std::atomic<int> calls_{0};
  std::mutex mutex_;
  absl::Status failure_;
  std::optional<Identity> lie_;
  std::optional<absl::Time> now_;
};

}  // namespace mesh::identity
