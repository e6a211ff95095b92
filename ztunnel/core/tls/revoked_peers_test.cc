// Peers whose certificate, or their issuer's, was taken back.
#include <gtest/gtest.h>
#include <openssl/pem.h>

#include "ztunnel/core/identity/issuer_for_test.h"
#include "ztunnel/core/tls/pair_for_test.h"

namespace mesh::tls {
namespace {

using identity::CertificateRef;
using identity::IssuerForTest;
using identity::PeerVerifier;
using identity::RevocationLists;

const identity::Identity kClient{"cluster.local", "default", "client"};
const identity::Identity kServer{"cluster.local", "default", "server"};

X509* LeafOf(const CertificateRef& certificate) {
  return SSL_CTX_get0_certificate(certificate->client_context());
}

class RevokedPeers : public testing::Test {
 protected:
  void Load(const std::string& text) {
    auto lists = RevocationLists::Parse(text);
    ASSERT_TRUE(lists.ok()) << lists.status();
    verifier_.SetRevocations(*lists);
  }
  // Both sides check.
  bool Connect(const CertificateRef& client, const CertificateRef& server) {
    pair_ =
        std::make_unique<PairForTest>(client, server, std::vector{kServer}, verifier_, verifier_);
    return pair_->Works();
  }

  const absl::Time tomorrow_ = absl::Now() + absl::Hours(24);
  IssuerForTest root_;
  const CertificateRef client_ = root_.Certificate(kClient);
  const CertificateRef server_ = root_.Certificate(kServer);
  PeerVerifier verifier_;
  std::unique_ptr<PairForTest> pair_;
};

TEST_F(RevokedPeers, ARevokedClientIsRefusedAndTold) {
  Load(root_.Crl({LeafOf(client_)}, tomorrow_));
  EXPECT_FALSE(Connect(client_, server_));
  EXPECT_EQ(pair_->server->refusal(), Session::Refusal::kRevoked);
  EXPECT_NE(pair_->server_status.ToString().find(client_->chain()[0].serial_decimal),
            std::string::npos)
      << pair_->server_status;
  EXPECT_NE(pair_->client_status.ToString().find("certificate revoked"), std::string::npos)
      << pair_->client_status;
  EXPECT_EQ(verifier_.counters().revoked[1], 1u);
  EXPECT_TRUE(Connect(root_.Certificate(kClient), server_)) << "a new certificate is another one";
}

TEST_F(RevokedPeers, ARevokedServerIsRefused) {
  Load(root_.Crl({LeafOf(server_)}, tomorrow_));
  EXPECT_FALSE(Connect(client_, server_));
  EXPECT_EQ(pair_->client->refusal(), Session::Refusal::kRevoked);
  EXPECT_EQ(verifier_.counters().revoked[0], 1u);
}

TEST_F(RevokedPeers, AnIntermediateIsLookedUpToo) {
  IssuerForTest intermediate = root_.Intermediate();
  const CertificateRef client = intermediate.Certificate(kClient, root_);
  Load(root_.Crl({}, tomorrow_) + intermediate.Crl({}, tomorrow_));
  EXPECT_TRUE(Connect(client, server_)) << pair_->server_status;
  EXPECT_EQ(verifier_.counters().uncovered[1], 0u);
  Load(root_.Crl({intermediate.certificate()}, tomorrow_));
  EXPECT_FALSE(Connect(client, server_));
  EXPECT_EQ(pair_->server->refusal(), Session::Refusal::kRevoked);
}

TEST_F(RevokedPeers, AListThatHasEndedStaysInForce) {
  Load(root_.Crl({LeafOf(client_)}, absl::Now() - absl::Hours(24)));
  EXPECT_FALSE(Connect(client_, server_));
}

TEST_F(RevokedPeers, AListOfAnotherWithTheSameNameIsNone) {
  IssuerForTest other;
  Load(other.Crl({LeafOf(client_)}, tomorrow_));
  EXPECT_TRUE(Connect(client_, server_)) << pair_->server_status;
  // Accepted, and counted: nobody could say.
  EXPECT_EQ(verifier_.counters().uncovered[0], 1u);
  EXPECT_EQ(verifier_.counters().uncovered[1], 1u);
}

TEST_F(RevokedPeers, LivePeersCanBeAskedAboutAgain) {
  Load(root_.Crl({}, tomorrow_));
  ASSERT_TRUE(Connect(client_, server_)) << pair_->server_status;
  const identity::PeerRef peer = pair_->server->peer_chain();
  ASSERT_NE(peer, nullptr);
  EXPECT_EQ(verifier_.RevokedOf(*peer), "");
  Load(root_.Crl({LeafOf(client_)}, tomorrow_));
  EXPECT_EQ(verifier_.RevokedOf(*peer), client_->chain()[0].serial_decimal);
  verifier_.SetRevocations(nullptr);
  EXPECT_EQ(verifier_.RevokedOf(*peer), "");
}

TEST_F(RevokedPeers, AListThatComesDuringTheHandshakeCounts) {
  Load(root_.Crl({}, tomorrow_));
  PairForTest pair(client_, server_, {kServer}, verifier_, verifier_);
  ASSERT_TRUE(pair.client->Start(pair.to_server).ok());
  ASSERT_TRUE(pair.server->Open(pair.to_server.data(), pair.server_plain, pair.to_client).ok());
  net::Buffer last;
  ASSERT_TRUE(pair.client->Open(pair.to_client.data(), pair.client_plain, last).ok());
  // The certificate has come and is good; the end of the flight has not.
  const auto wire = last.data();
  const auto start = wire.first(wire.size() - 10);
  ASSERT_TRUE(pair.server->Open(start, pair.server_plain, pair.to_client).ok());
  EXPECT_EQ(verifier_.counters().entries, 2u);
  Load(root_.Crl({LeafOf(client_)}, tomorrow_));
  EXPECT_FALSE(
      pair.server->Open(wire.subspan(start.size()), pair.server_plain, pair.to_client).ok());
  EXPECT_EQ(pair.server->refusal(), Session::Refusal::kRevoked);
}

TEST(RevocationLists, ReadsPemAndDerAndRefusesTheRest) {
  IssuerForTest a, b;
  const std::string both = "text\n" + a.Crl({a.certificate()}, absl::Now()) + "between\n" +
                           b.Crl({b.certificate(), a.certificate()}, absl::Now());
  const auto lists = RevocationLists::Parse(both);
  ASSERT_TRUE(lists.ok()) << lists.status();
  EXPECT_EQ((*lists)->lists(), 2u);
  EXPECT_EQ((*lists)->revoked(), 3u);

  unsigned char* der = nullptr;
  BIO* bio = BIO_new_mem_buf(both.data(), static_cast<int>(both.size()));
  X509_CRL* crl = PEM_read_bio_X509_CRL(bio, nullptr, nullptr, nullptr);
  const int size = i2d_X509_CRL(crl, &der);
  EXPECT_TRUE(RevocationLists::Parse({reinterpret_cast<char*>(der), size_t(size)}).ok());
  EXPECT_FALSE(RevocationLists::Parse({reinterpret_cast<char*>(der), size_t(size) - 1}).ok());
  OPENSSL_free(der);
  X509_CRL_free(crl);
  BIO_free(bio);

  EXPECT_FALSE(RevocationLists::Parse("").ok());
  EXPECT_FALSE(RevocationLists::Parse("junk").ok());
  EXPECT_FALSE(RevocationLists::Parse(a.pem()).ok()) << "a certificate is no list";
  std::string broken = both;
  broken[both.rfind("-----BEGIN") + 100] = '!';
  EXPECT_FALSE(RevocationLists::Parse(broken).ok()) << "half a list may hide what it takes back";
}

}  // namespace
}  // namespace mesh::tls
