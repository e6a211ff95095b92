// Verdicts about peers that are remembered, and until when.
#include <gtest/gtest.h>

#include "ztunnel/core/identity/issuer_for_test.h"
#include "ztunnel/core/tls/pair_for_test.h"

namespace mesh::tls {
namespace {

using identity::CertificateRef;
using identity::IssuerForTest;
using identity::PeerVerifier;

const identity::Identity kClient{"cluster.local", "default", "client"};
const identity::Identity kOther{"cluster.local", "default", "other"};
const identity::Identity kServer{"cluster.local", "default", "server"};

// The server's side remembers; each client handshake is made anew.
class RememberedPeers : public testing::Test {
 protected:
  bool Connect(const CertificateRef& client, const CertificateRef& server) {
    PeerVerifier forgetful({.remembered = 0});
    PairForTest pair(client, server, {kServer}, forgetful, verifier_);
    const bool works = pair.Works();
    says_ = pair.server_status.ToString();
    if (works) who_ = pair.server->peer()->ToString();
    return works;
  }
  uint64_t verified() const { return verifier_.counters().verified; }
  uint64_t remembered() const { return verifier_.counters().remembered; }

  absl::Time now_ = absl::Now();
  IssuerForTest issuer_;
  PeerVerifier verifier_{{.remembered = 2, .now = [this] { return now_; }}};
  const CertificateRef server_ = issuer_.Certificate(kServer);
  const CertificateRef client_ = issuer_.Certificate(kClient);
  std::string says_, who_;
};

TEST_F(RememberedPeers, TheSameLeafIsGoneThroughOnce) {
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(Connect(client_, server_)) << says_;
  EXPECT_EQ(who_, kClient.ToString());
  EXPECT_EQ(verified(), 1u);
  EXPECT_EQ(remembered(), 2u);
  // Another one of the same identity is another leaf.
  ASSERT_TRUE(Connect(issuer_.Certificate(kClient), server_)) << says_;
  EXPECT_EQ(verified(), 2u);
}

TEST_F(RememberedPeers, NoneOutlivesItsCertificate) {
  const CertificateRef brief = issuer_.Presenting(
      kClient, {.names = {"URI:" + kClient.ToString()}, .not_after = now_ + absl::Minutes(5)});
  ASSERT_TRUE(Connect(brief, server_)) << says_;
  now_ += absl::Minutes(4);
  ASSERT_TRUE(Connect(brief, server_)) << says_;
  EXPECT_EQ(remembered(), 1u);
  now_ += absl::Minutes(2);
  EXPECT_FALSE(Connect(brief, server_));
  EXPECT_NE(says_.find("has expired"), std::string::npos) << says_;
  // Nor does it live before it, when the clock is set back.
  now_ -= absl::Hours(3);
  EXPECT_FALSE(Connect(brief, server_));
}

TEST_F(RememberedPeers, OtherRootsAskAnew) {
  ASSERT_TRUE(Connect(client_, server_)) << says_;
  IssuerForTest next;
  // Rotated: the server's new certificate came with the new root alone, and its peers trust the old
  // one still.
  EXPECT_FALSE(Connect(client_, issuer_.Certificate(kServer, next)));
  EXPECT_EQ(verified(), 2u);
  // A renewal under the same roots changes nothing.
  ASSERT_TRUE(Connect(client_, issuer_.Certificate(kServer))) << says_;
  EXPECT_EQ(verified(), 2u);
}

TEST_F(RememberedPeers, ARefusalIsNotRemembered) {
  const CertificateRef ended = issuer_.Presenting(
      kClient, {.names = {"URI:" + kClient.ToString()}, .not_after = now_ - absl::Minutes(1)});
  for (uint64_t i = 1; i <= 2; ++i) {
    EXPECT_FALSE(Connect(ended, server_));
    EXPECT_EQ(verified(), i);
  }
  EXPECT_EQ(verifier_.counters().entries, 0u);
}

TEST_F(RememberedPeers, TheOneNotAskedForLongestGivesWay) {
  const CertificateRef other = issuer_.Certificate(kOther);
  ASSERT_TRUE(Connect(client_, server_));
  ASSERT_TRUE(Connect(other, server_));
  ASSERT_TRUE(Connect(client_, server_));
  ASSERT_TRUE(Connect(issuer_.Certificate(kClient), server_));  // `other` goes
  EXPECT_EQ(verifier_.counters().forgotten, 1u);
  EXPECT_EQ(verifier_.counters().entries, 2u);
  EXPECT_EQ(verified(), 3u);
  ASSERT_TRUE(Connect(client_, server_));
  EXPECT_EQ(verified(), 3u);
  ASSERT_TRUE(Connect(other, server_));
  EXPECT_EQ(verified(), 4u);
}

TEST_F(RememberedPeers, ARoleIsNotTheOther) {
  // A client's certificate that says so is no server's, however well it is known.
  const CertificateRef client =
      issuer_.Presenting(kServer, {.names = {"URI:" + kServer.ToString()}, .usage = "clientAuth"});
  ASSERT_TRUE(Connect(client, server_)) << says_;
  PairForTest pair(client_, client, {kServer}, verifier_, verifier_);
  EXPECT_FALSE(pair.Works());
  EXPECT_NE(pair.client_status.ToString().find("purpose"), std::string::npos);
}

TEST_F(RememberedPeers, NewRevocationListsForgetAll) {
  ASSERT_TRUE(Connect(client_, server_)) << says_;
  X509* leaf = SSL_CTX_get0_certificate(client_->client_context());
  verifier_.SetRevocations(
      *identity::RevocationLists::Parse(issuer_.Crl({leaf}, now_ + absl::Hours(1))));
  EXPECT_EQ(verifier_.counters().entries, 0u);
  EXPECT_FALSE(Connect(client_, server_));
  EXPECT_NE(says_.find("was revoked"), std::string::npos) << says_;
}

}  // namespace
}  // namespace mesh::tls
