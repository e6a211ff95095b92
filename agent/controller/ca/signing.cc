#include "agent/controller/ca/signing.h"

#include "agent/controller/ca/spiffe.h"
#include "ztunnel/base/log.h"
#include "ztunnel/base/status.h"

namespace mesh::controller {

absl::Status SigningService::Authorize(const Caller& caller, const std::string& identity,
                                       std::string& granted) {
  const Settings& settings = compiler_.settings();
  const std::string own =
      SpiffeId{settings.trust_domain, caller.ns, caller.service_account}.ToString();
  if (identity.empty() || identity == own) {
    granted = own;
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const SpiffeId wanted, ParseIssuable(identity));
  if (caller.ns != settings.system_namespace || caller.service_account != node_account_) {
    return Unauthenticated("{}/{} may not ask for other identities", caller.ns,
                           caller.service_account);
  }
  if (caller.node.empty()) return Unauthenticated("the token names no node");
  if (wanted.trust_domain != settings.trust_domain) {
    return Unauthenticated("trust domain {} is not {}", wanted.trust_domain, settings.trust_domain);
  }
  const absl::Status runs = compiler_.CheckRunsOn(caller.node, wanted.ns, wanted.service_account);
  if (!runs.ok()) return Unauthenticated("{}", MessageOf(runs));
  granted = wanted.ToString();
  return absl::OkStatus();
}

absl::StatusOr<IssuedCertificate> SigningService::Handle(const Caller& caller,
                                                         const std::string& csr_pem,
                                                         const std::string& identity,
                                                         absl::Duration lifetime, absl::Time now) {
  std::string granted;
  absl::Status status = Authorize(caller, identity, granted);
  if (status.ok()) {
    absl::StatusOr<IssuedCertificate> certificate = authority_.Sign(csr_pem, granted, lifetime);
    if (certificate.ok()) {
      Record(granted, caller.node, *certificate, now);
      Logger("ca")->info("certificate issued identity={} node={} serial={} ends={}", granted,
                         caller.node, certificate->serial,
                         absl::FormatTime(certificate->not_after, absl::UTCTimeZone()));
      return certificate;
    }
    status = certificate.status();
  }
  ++refused_;
  Logger("ca")->warn("certificate refused identity={} caller={}/{} pod={} node={} err={}",
                     Quoted(identity), caller.ns, caller.service_account, caller.pod_name,
                     caller.node, Quoted(MessageOf(status)));
  return status;
}

absl::Status SigningService::AnswerFor(const absl::Status& status) {
  if (status.code() != absl::StatusCode::kUnauthenticated) return status;
  return Unauthenticated("request impersonation authentication failure");
}

void SigningService::Record(const std::string& identity, const std::string& node,
                            const IssuedCertificate& certificate, absl::Time now) {
  ++issued_;
  IssuedRecord& record = records_[{identity, node}];
  record.identity = identity;
  record.node = node;
  record.serial = certificate.serial;
  record.issued = now;
  record.not_after = certificate.not_after;
  ++record.count;
  if (records_.size() <= kMaxRecords) return;
  auto first = records_.begin();
  for (auto it = records_.begin(); it != records_.end(); ++it) {
    if (it->second.not_after < first->second.not_after) first = it;
  }
  records_.erase(first);
}

std::vector<IssuedRecord> SigningService::Records() const {
  std::vector<IssuedRecord> records;
  records.reserve(records_.size());
  for (const auto& [key, record] : records_) records.push_back(record);
  return records;
}

}  // namespace mesh::controller
