// Signs certificates with a root of its own, or with an intermediate that was supplied.
//
// The directory holds the state, in Istio's names: ca-key.pem, ca-cert.pem, cert-chain.pem (from
// ca-cert.pem up, without the root), root-cert.pem. Where there is no ca-key.pem, a self-signed
// root (ECDSA P-256) is made and written there, keys with mode 0600, each file by rename. What is
// there is used as it is: a directory that is half filled or does not fit (the key is another's, a
// certificate ended or may not sign, peers that hold the root would refuse what is signed) is an
// error that names the file, never overwritten.
//
// Thread-safe between calls of Renew: signing changes nothing.
#pragma once

#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "agent/controller/ca/ca_chain.h"
#include "agent/controller/ca/openssl_ptr.h"

namespace mesh::controller {

struct IssuedCertificate {
  std::vector<std::string> chain;  // PEM: leaf, intermediates, last the roots
  std::string serial;              // hex
  absl::Time not_before;
  absl::Time not_after;
};

class CertificateAuthority {
 public:
  struct Options {
    std::string directory;
    std::string trust_domain = "cluster.local";  // organization of a root made here
    absl::Duration root_lifetime = absl::Hours(24 * 3650);
    absl::Duration default_lifetime = absl::Hours(24);
    absl::Duration max_lifetime = absl::Hours(24 * 90);
  };
  static absl::StatusOr<CertificateAuthority> Open(Options options);

  // Takes up what the directory holds by now, so that roots are rotated without a restart: first
  // root-cert.pem with the old root and the new, then the new key and certificate, later the new
  // root alone. False: nothing changed. An error leaves what is in use, and is tried again.
  absl::StatusOr<bool> Renew();

  // A workload's certificate: the key is the request's, the SAN is `spiffe_id` and nothing of the
  // request's names. `lifetime` of zero or less is the default; above the maximum is refused;
  // beyond the CA's own end is cut there. NotBefore is two minutes ago (less for lifetimes under 20
  // minutes), for clocks that differ.
  absl::StatusOr<IssuedCertificate> Sign(const std::string& csr_pem, const std::string& spiffe_id,
                                         absl::Duration lifetime) const;

  // A server's certificate with a key made here. `names` are DNS names or IP addresses.
  struct ServerCertificate {
    std::string key_pem;
    std::string chain_pem;  // leaf and intermediates
    absl::Time not_after;
  };
  absl::StatusOr<ServerCertificate> IssueServer(const std::vector<std::string>& names,
                                                absl::Duration lifetime) const;

  const std::string& root_pem() const { return root_pem_; }
  absl::Time not_after() const { return chain_.not_after; }

 private:
  // Of one file: inode, size, time of change; zeros when it is absent.
  using Stamp = std::array<int64_t, 3>;
  static std::vector<Stamp> StampsOf(const std::string& directory);
  absl::Status Load();
  absl::Status CreateRoot() const;
  absl::StatusOr<CertPtr> MakeLeaf(EVP_PKEY* key, const std::string& san, bool critical_san,
                                   absl::Duration lifetime) const;

  Options options_;
  KeyPtr key_;
  CaChain chain_;
  std::string root_pem_;
  std::vector<Stamp> stamps_;  // of the files that were loaded
};

}  // namespace mesh::controller
