#include "ztunnel/core/identity/ca_client.h"

#include <grpcpp/grpcpp.h>

#include "proto/ca.grpc.pb.h"
#include "ztunnel/base/status.h"

namespace mesh::identity {
namespace {

namespace pb = istio::v1::auth;

pb::IstioCertificateRequest MakeRequest(const Identity& identity, const std::string& csr_pem,
                                        absl::Duration lifetime, bool impersonate) {
  pb::IstioCertificateRequest request;
  request.set_csr(csr_pem);
  request.set_validity_duration(absl::ToInt64Seconds(lifetime));
  if (impersonate) {
    (*request.mutable_metadata()->mutable_fields())["ImpersonatedIdentity"].set_string_value(
        identity.ToString());
  }
  return request;
}

}  // namespace

GrpcCertificateAuthority::GrpcCertificateAuthority(Options options)
    : options_(std::move(options)) {}
GrpcCertificateAuthority::~GrpcCertificateAuthority() = default;

absl::StatusOr<std::shared_ptr<grpc::Channel>> GrpcCertificateAuthority::Channel() {
  ASSIGN_OR_RETURN(std::string roots, ReadRoots(options_.plane.root_ca));
  std::lock_guard lock(mutex_);
  if (!channel_ || roots != channel_roots_) {
    ASSIGN_OR_RETURN(channel_, OpenChannel(options_.plane));
    channel_roots_ = std::move(roots);
  }
  return channel_;
}

absl::StatusOr<std::vector<std::string>> GrpcCertificateAuthority::Sign(const Identity& identity,
                                                                        const std::string& csr_pem,
                                                                        absl::Duration lifetime) {
  ASSIGN_OR_RETURN(const auto channel, Channel());
  grpc::ClientContext context;
  RETURN_IF_ERROR(AddMetadata(options_.plane, context));
  context.set_deadline(absl::ToChronoTime(absl::Now() + options_.timeout));
  const auto request = MakeRequest(identity, csr_pem, lifetime, options_.impersonate);
  pb::IstioCertificateResponse response;
  {
    std::lock_guard lock(mutex_);
    if (cancelled_) return Cancelled("certificate authority: shutting down");
    calls_.insert(&context);
  }
  const grpc::Status status = pb::IstioCertificateService::NewStub(channel)->CreateCertificate(
      &context, request, &response);
  {
    std::lock_guard lock(mutex_);
    calls_.erase(&context);
  }
  if (!status.ok()) {
    return WithContext(FromGrpc(status), "certificate authority " + options_.plane.address);
  }
  return std::vector<std::string>(response.cert_chain().begin(), response.cert_chain().end());
}

void GrpcCertificateAuthority::Cancel() {
  std::lock_guard lock(mutex_);
  cancelled_ = true;
  for (grpc::ClientContext* call : calls_) call->TryCancel();
}

}  // namespace mesh::identity
