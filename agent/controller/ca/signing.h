// Answers certificate requests: who asks, for whom, and whether that pod runs there. A log of what
// was issued, bounded, for people.
//
// Thread: the controller's (Handle); the token was reviewed before, on the caller's thread.
#pragma once

#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include <map>
#include <string>
#include <vector>

#include "agent/controller/ca/certificate_authority.h"
#include "agent/controller/ca/token.h"
#include "agent/controller/model/compiler.h"

namespace mesh::controller {

struct IssuedRecord {
  std::string identity;
  std::string node;
  std::string serial;
  absl::Time issued;
  absl::Time not_after;
  uint64_t count = 0;  // times issued for this identity on this node
};

class SigningService {
 public:
  static constexpr size_t kMaxRecords = 10'000;  // the one that ends first makes room

  // Node proxies of this account may ask for identities of their node's pods.
  SigningService(const CertificateAuthority& authority, const Compiler& compiler,
                 std::string node_account = "ztunnel")
      : authority_(authority), compiler_(compiler), node_account_(std::move(node_account)) {}

  // `identity` is what the node proxy asks for (ImpersonatedIdentity); empty: the caller's own.
  // Errors are for the log; the caller is told no more than AnswerFor() says.
  absl::StatusOr<IssuedCertificate> Handle(const Caller& caller, const std::string& csr_pem,
                                           const std::string& identity, absl::Duration lifetime,
                                           absl::Time now);

  // What goes over the wire: refusals of an identity are opaque.
  static absl::Status AnswerFor(const absl::Status& status);

  std::vector<IssuedRecord> Records() const;
  uint64_t issued() const { return issued_; }
  uint64_t refused() const { return refused_; }

 private:
  absl::Status Authorize(const Caller& caller, const std::string& identity, std::string& granted);
  void Record(const std::string& identity, const std::string& node,
              const IssuedCertificate& certificate, absl::Time now);

  const CertificateAuthority& authority_;
  const Compiler& compiler_;
  const std::string node_account_;
  std::map<std::pair<std::string, std::string>, IssuedRecord> records_;  // identity, node
  uint64_t issued_ = 0;
  uint64_t refused_ = 0;
};

}  // namespace mesh::controller
