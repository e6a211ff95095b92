// Certificates that their authorities took back: the lists of CRL_PATH.
//
// As Istio's ztunnel reads them: each certificate of a peer's chain is looked up in the lists that
// its issuer signed. One whose issuer has no list here is accepted, and a list stays in force after
// its nextUpdate. Immutable, shared by all workers, thread-safe: a lock is held for a moment when a
// chain is new, never on the byte path.
#pragma once

#include <absl/container/flat_hash_map.h>
#include <absl/status/statusor.h>

#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ztunnel/core/identity/pem.h"

namespace mesh::identity {

class RevocationLists {
 public:
  static constexpr size_t kMaxBytes = 16 << 20;
  static constexpr size_t kMaxLists = 1000;

  // Every X509 CRL block of PEM text, or one list in DER. At least one; a block that cannot be read
  // refuses the text, since what it takes back is not known.
  static absl::StatusOr<std::shared_ptr<const RevocationLists>> Parse(std::string_view text);

  struct Verdict {
    bool covered = true;  // each certificate's issuer has a list here
    std::string revoked;  // the serial number that was taken back; empty: none
  };
  // `chain`: leaf first, each issued by the next, the last one an anchor.
  Verdict Check(std::span<const X509Ptr> chain) const;

  size_t lists() const { return lists_.size(); }
  size_t revoked() const { return revoked_; }  // certificates named in them

 private:
  using CrlPtr = std::unique_ptr<X509_CRL, OpensslDelete<X509_CRL_free>>;
  RevocationLists() = default;
  bool IsFrom(size_t list, X509& issuer) const;

  std::vector<CrlPtr> lists_;
  size_t revoked_ = 0;
  mutable std::mutex mutex_;
  // Whether a list's signature is a key's: list and key's digest. Only keys of verified chains.
  mutable absl::flat_hash_map<std::string, bool> signed_by_;
};

using RevocationListsRef = std::shared_ptr<const RevocationLists>;

}  // namespace mesh::identity
