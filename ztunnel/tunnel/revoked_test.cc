// Tunnels whose peer's certificate is taken back while they live.
#include <gtest/gtest.h>

#include "ztunnel/core/identity/issuer_for_test.h"
#include "ztunnel/tunnel/test_nodes.h"

namespace mesh::tunnel {
namespace {

class RevokedTunnelTest : public TunnelTest {
 protected:
  // `worker` learns that the certificate of `pod` was taken back.
  void Revoke(Worker& worker, const PodRef& pod) {
    const identity::IssuerForTest issuer(authority_.root_pem(), authority_.root_key_pem());
    const identity::CertificateRef certificate = manager_->TryGet(pod->Identity());
    ASSERT_NE(certificate, nullptr);
    X509* leaf = SSL_CTX_get0_certificate(certificate->client_context());
    const auto lists =
        identity::RevocationLists::Parse(issuer.Crl({leaf}, absl::Now() + absl::Hours(1)));
    ASSERT_TRUE(lists.ok()) << lists.status();
    OnLoop([&] { worker.SetRevocations(*lists); });
  }
  void StartWithLists(Worker& worker) {
    const identity::IssuerForTest issuer(authority_.root_pem(), authority_.root_key_pem());
    const auto lists =
        identity::RevocationLists::Parse(issuer.Crl({}, absl::Now() + absl::Hours(1)));
    OnLoop([&] { worker.SetRevocations(*lists); });
  }
  uint64_t RefusedInbound(mesh_reason reason) {
    uint64_t count = 0;
    OnLoop([&] {
      count = metrics_.shard()
                  .refused_by_reason[static_cast<int>(telemetry::Direction::kInbound)][reason];
    });
    return count;
  }
  uint64_t EndedAtServer(mesh_reason reason) {
    uint64_t count = 0;
    OnLoop([&] {
      count = metrics_.shard()
                  .closed_by_reason[static_cast<int>(telemetry::Reporter::kDestination)][reason];
    });
    return count;
  }
};

TEST_F(RevokedTunnelTest, AServerEndsWhatLivesAndRefusesWhatComes) {
  Listen(1);
  Run();
  StartWithLists(*far_);
  UniqueFd fd = OpenConnection(kServerIp, server_port_);
  Revoke(*far_, client_pod_);
  EXPECT_EQ(ReadAll(fd.get()), "<ECONNRESET>");
  EXPECT_EQ(EndedAtServer(MESH_REASON_CERT_REVOKED), 1u);
  EXPECT_TRUE(WasReset(Exchange(kServerIp, server_port_, "x")));
  EXPECT_GE(RefusedInbound(MESH_REASON_CERT_REVOKED), 1u);
}

TEST_F(RevokedTunnelTest, AClientEndsWhatLivesAndOpensNoMore) {
  Listen(1);
  Run();
  StartWithLists(*near_);
  UniqueFd fd = OpenConnection(kServerIp, server_port_);
  Revoke(*near_, server_pod_);
  EXPECT_EQ(ReadAll(fd.get()), "<ECONNRESET>");
  EXPECT_TRUE(WasReset(Exchange(kServerIp, server_port_, "x")));
  EXPECT_EQ(Ended(MESH_REASON_CERT_REVOKED), 2u);
}

TEST_F(RevokedTunnelTest, OthersAreLeftAlone) {
  Listen(1);
  Run();
  StartWithLists(*far_);
  UniqueFd fd = OpenConnection(kServerIp, server_port_);
  Revoke(*far_, server_pod_);  // its own certificate is not what its peers show
  char buffer[8];
  ASSERT_EQ(write(fd.get(), "more", 4), 4);
  EXPECT_EQ(read(fd.get(), buffer, sizeof buffer), 4);
}

}  // namespace
}  // namespace mesh::tunnel
