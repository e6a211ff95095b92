// The certificate authority of the control plane, over gRPC: IstioCertificateService.
//
// Thread-safe; Sign blocks its caller, 10 s at most. The channel is kept and made anew when the
// file of the roots has changed; the token is read for each call.
#pragma once

#include <memory>
#include <mutex>
#include <set>

#include "ztunnel/core/identity/certificate_manager.h"
#include "ztunnel/core/identity/control_plane.h"

namespace mesh::identity {

class GrpcCertificateAuthority : public CertificateAuthority {
 public:
  struct Options {
    ControlPlane plane;
    // Asks for pods' identities under the node proxy's own token. False: the caller's own identity
    // is issued, as for a proxy dedicated to one workload.
    bool impersonate = true;
    absl::Duration timeout = absl::Seconds(10);
  };
  explicit GrpcCertificateAuthority(Options options);
  ~GrpcCertificateAuthority() override;

  absl::StatusOr<std::vector<std::string>> Sign(const Identity& identity,
                                                const std::string& csr_pem,
                                                absl::Duration lifetime) override;
  void Cancel() override;

 private:
  absl::StatusOr<std::shared_ptr<grpc::Channel>> Channel();

  const Options options_;
  std::mutex mutex_;
  std::shared_ptr<grpc::Channel> channel_;
  std::string channel_roots_;  // what the channel was made with
  std::set<grpc::ClientContext*> calls_;
  bool cancelled_ = false;
};

}  // namespace mesh::identity
