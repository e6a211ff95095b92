// The client against a server of the same protocol, over real TLS on the loopback.
#include "ztunnel/core/identity/ca_client.h"

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "proto/ca.grpc.pb.h"
#include "ztunnel/core/identity/csr.h"
#include "ztunnel/core/identity/local_authority.h"

namespace mesh::identity {
namespace {

namespace pb = istio::v1::auth;

const Identity kReviews{"cluster.local", "shop", "reviews"};

class FakeService : public pb::IstioCertificateService::Service {
 public:
  grpc::Status CreateCertificate(grpc::ServerContext* context,
                                 const pb::IstioCertificateRequest* request,
                                 pb::IstioCertificateResponse* response) override {
    const auto& metadata = context->client_metadata();
    const auto token = metadata.find("authorization");
    if (token == metadata.end() || token->second != "Bearer secret") {
      return {grpc::StatusCode::UNAUTHENTICATED, "request authenticate failure"};
    }
    cluster = std::string(metadata.find("clusterid")->second.data(),
                          metadata.find("clusterid")->second.size());
    seconds = request->validity_duration();
    const auto id =
        Identity::Parse(request->metadata().fields().at("ImpersonatedIdentity").string_value());
    const auto chain = ca.Sign(*id, request->csr(), absl::Seconds(seconds));
    if (!chain.ok()) return {grpc::StatusCode::INVALID_ARGUMENT, "bad request"};
    for (const std::string& pem : *chain) response->add_cert_chain(pem);
    return grpc::Status::OK;
  }
  LocalAuthority ca;
  std::string cluster;
  int64_t seconds = 0;
};

class CaClient : public ::testing::Test {
 protected:
  CaClient() {
    grpc::SslServerCredentialsOptions tls;
    tls.pem_key_cert_pairs.push_back({service_.ca.root_key_pem(), service_.ca.root_pem()});
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::SslServerCredentials(tls), &port_);
    builder.RegisterService(&service_);
    server_ = builder.BuildAndStart();
    std::ofstream(token_) << "secret\n";
  }
  ~CaClient() override {
    server_->Shutdown(std::chrono::system_clock::now());
    std::filesystem::remove(token_);
  }
  GrpcCertificateAuthority::Options Options() {
    GrpcCertificateAuthority::Options options;
    options.plane.address = "https://127.0.0.1:" + std::to_string(port_);
    options.plane.root_ca = service_.ca.root_pem();
    options.plane.alt_hostname = "authority.local";
    options.plane.token_file = token_;
    options.plane.cluster_id = "east";
    return options;
  }
  FakeService service_;
  std::unique_ptr<grpc::Server> server_;
  int port_ = 0;
  const std::string token_ = testing::TempDir() + "/ca-token-" + std::to_string(::getpid());
};

TEST_F(CaClient, ObtainsACertificateThatFits) {
  GrpcCertificateAuthority client(Options());
  const auto made = MakeKeyAndRequest(kReviews);
  const auto chain = client.Sign(kReviews, made->csr_pem, absl::Hours(2));
  ASSERT_TRUE(chain.ok()) << chain.status();
  EXPECT_TRUE(WorkloadCertificate::Create(kReviews, made->key_pem, *chain).ok());
  EXPECT_EQ(service_.cluster, "east");
  EXPECT_EQ(service_.seconds, 7200);
}

TEST_F(CaClient, ErrorsNameTheAuthority) {
  std::ofstream(token_) << "wrong";
  GrpcCertificateAuthority client(Options());
  const auto made = MakeKeyAndRequest(kReviews);
  const auto refused = client.Sign(kReviews, made->csr_pem, absl::Hours(2));
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kUnauthenticated);
  EXPECT_NE(refused.status().ToString().find(std::to_string(port_)), std::string::npos);
}

TEST_F(CaClient, RefusesAServerUnderAnotherRoot) {
  LocalAuthority other;
  auto options = Options();
  options.plane.root_ca = other.root_pem();
  GrpcCertificateAuthority client(options);
  const auto made = MakeKeyAndRequest(kReviews);
  EXPECT_EQ(client.Sign(kReviews, made->csr_pem, absl::Hours(2)).status().code(),
            absl::StatusCode::kUnavailable);
}

TEST_F(CaClient, CancelEndsCalls) {
  GrpcCertificateAuthority client(Options());
  client.Cancel();
  const auto made = MakeKeyAndRequest(kReviews);
  EXPECT_EQ(client.Sign(kReviews, made->csr_pem, absl::Hours(2)).status().code(),
            absl::StatusCode::kCancelled);
}

}  // namespace
}  // namespace mesh::identity
