#include "ztunnel/core/identity/certificate.h"

#include <gtest/gtest.h>
#include <openssl/bio.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "ztunnel/core/identity/csr.h"
#include "ztunnel/core/identity/key_exchange.h"
#include "ztunnel/core/identity/local_authority.h"

namespace mesh::identity {
namespace {

const Identity kReviews{"cluster.local", "shop", "reviews"};
const Identity kRatings{"cluster.local", "shop", "ratings"};

using SslPtr = std::unique_ptr<SSL, OpensslDelete<SSL_free>>;

// Both ends of a handshake over a pair of memory buffers; true when both finished.
bool Handshake(SSL* client, SSL* server) {
  BIO* a = nullptr;
  BIO* b = nullptr;
  BIO_new_bio_pair(&a, 0, &b, 0);
  SSL_set_bio(client, a, a);
  SSL_set_bio(server, b, b);
  SSL_set_connect_state(client);
  SSL_set_accept_state(server);
  for (int i = 0; i < 10; ++i) {
    const int c = SSL_do_handshake(client);
    const int s = SSL_do_handshake(server);
    if (c == 1 && s == 1) return true;
  }
  return false;
}

TEST(Certificate, CarriesItsFacts) {
  LocalAuthority ca;
  const auto cert = ca.Issue(kReviews, absl::Hours(2));
  ASSERT_TRUE(cert.ok()) << cert.status();
  EXPECT_EQ((*cert)->identity(), kReviews);
  EXPECT_EQ((*cert)->not_after() - (*cert)->not_before(), absl::Hours(2));
  ASSERT_EQ((*cert)->chain().size(), 1u);
  ASSERT_EQ((*cert)->roots().size(), 1u);
  EXPECT_EQ((*cert)->roots()[0].pem, ca.root_pem());
  EXPECT_FALSE((*cert)->chain()[0].serial_decimal.empty());
}

TEST(Certificate, TwoOfOneMeshShakeHands) {
  LocalAuthority ca;
  const auto reviews = ca.Issue(kReviews);
  const auto ratings = ca.Issue(kRatings);
  const SslPtr client(SSL_new((*reviews)->client_context()));
  const SslPtr server(SSL_new((*ratings)->server_context()));
  ASSERT_TRUE(Handshake(client.get(), server.get()));
  EXPECT_STREQ(SSL_get_version(client.get()), "TLSv1.3");
  const unsigned char* alpn = nullptr;
  unsigned int size = 0;
  SSL_get0_alpn_selected(client.get(), &alpn, &size);
  EXPECT_EQ(std::string_view(reinterpret_cast<const char*>(alpn), size), "h2");
  EXPECT_EQ(UriNames(*SSL_get0_peer_certificate(server.get())),
            std::vector<std::string>{kReviews.ToString()});
}

TEST(Certificate, TheKeyExchangeIsTheOneAskedFor) {
  LocalAuthority ca;
  const auto made = MakeKeyAndRequest(kReviews);
  const auto chain = ca.Sign(kReviews, made->csr_pem, absl::Hours(1));
  const auto picky = WorkloadCertificate::Create(kReviews, made->key_pem, *chain, "P-384");
  ASSERT_TRUE(picky.ok()) << picky.status();
  const auto usual = ca.Issue(kRatings);
  const SslPtr client(SSL_new((*usual)->client_context()));
  const SslPtr server(SSL_new((*picky)->server_context()));
  ASSERT_TRUE(Handshake(client.get(), server.get()));
  EXPECT_EQ(SSL_get_negotiated_group(client.get()), NID_secp384r1);

  EXPECT_FALSE(WorkloadCertificate::Create(kReviews, made->key_pem, *chain, "nonsense").ok());
  EXPECT_TRUE(CheckKeyExchange("P-384").ok());
  EXPECT_NE(CheckKeyExchange("nonsense").ToString().find("does not know nonsense"),
            std::string::npos);
}

TEST(Certificate, RootsAreTheSameSetInWhateverOrder) {
  LocalAuthority ca, other;
  const auto made = MakeKeyAndRequest(kReviews);
  const std::string leaf = ca.Sign(kReviews, made->csr_pem, absl::Hours(1))->front();
  const auto id = [&](const std::string& roots) {
    return (*WorkloadCertificate::Create(kReviews, made->key_pem, {leaf, roots}))->roots_id();
  };
  EXPECT_EQ(id(ca.root_pem() + other.root_pem()), id(other.root_pem() + ca.root_pem()));
  EXPECT_NE(id(ca.root_pem()), id(ca.root_pem() + other.root_pem()));
}

TEST(Certificate, StrangersDoNotShakeHands) {
  LocalAuthority ca, other;
  const auto mine = ca.Issue(kReviews);
  const auto theirs = other.Issue(kRatings);
  const SslPtr client(SSL_new((*mine)->client_context()));
  const SslPtr server(SSL_new((*theirs)->server_context()));
  EXPECT_FALSE(Handshake(client.get(), server.get()));
}

TEST(Certificate, RefusesAnotherName) {
  LocalAuthority ca;
  ca.IssueFor(kRatings);
  const auto cert = ca.Issue(kReviews);
  EXPECT_EQ(cert.status().code(), absl::StatusCode::kUnauthenticated);
  EXPECT_NE(cert.status().ToString().find("sa/ratings"), std::string::npos);
}

TEST(Certificate, RefusesAKeyThatDoesNotFitAndAnAnswerWithoutRoots) {
  LocalAuthority ca;
  const auto made = MakeKeyAndRequest(kReviews);
  const auto other = MakeKeyAndRequest(kReviews);
  const auto chain = ca.Sign(kReviews, made->csr_pem, absl::Hours(1));
  EXPECT_TRUE(WorkloadCertificate::Create(kReviews, made->key_pem, *chain).ok());
  EXPECT_FALSE(WorkloadCertificate::Create(kReviews, other->key_pem, *chain).ok());
  EXPECT_FALSE(WorkloadCertificate::Create(kReviews, made->key_pem, {chain->front()}).ok());
  EXPECT_FALSE(WorkloadCertificate::Create(kReviews, made->key_pem, {}).ok());
  EXPECT_FALSE(WorkloadCertificate::Create(kReviews, made->key_pem, {chain->front(), "junk"}).ok());
  EXPECT_FALSE(WorkloadCertificate::Create(kReviews, "junk", *chain).ok());
}

TEST(CertificateRequest, NamesTheIdentityInACriticalExtension) {
  const auto made = MakeKeyAndRequest({"td", "a,b", "c"});  // a comma is data, not syntax
  ASSERT_TRUE(made.ok());
  EXPECT_TRUE(made->key_pem.starts_with("-----BEGIN PRIVATE KEY-----"));
  const BioPtr bio(BIO_new_mem_buf(made->csr_pem.data(), static_cast<int>(made->csr_pem.size())));
  X509_REQ* request = PEM_read_bio_X509_REQ(bio.get(), nullptr, nullptr, nullptr);
  ASSERT_NE(request, nullptr);
  EXPECT_EQ(X509_NAME_entry_count(X509_REQ_get_subject_name(request)), 0);
  STACK_OF(X509_EXTENSION)* extensions = X509_REQ_get_extensions(request);
  ASSERT_EQ(sk_X509_EXTENSION_num(extensions), 1);
  X509_EXTENSION* san = sk_X509_EXTENSION_value(extensions, 0);
  EXPECT_EQ(X509_EXTENSION_get_critical(san), 1);
  const ASN1_OCTET_STRING* value = X509_EXTENSION_get_data(san);
  const std::string text(reinterpret_cast<const char*>(ASN1_STRING_get0_data(value)),
                         static_cast<size_t>(ASN1_STRING_length(value)));
  EXPECT_NE(text.find("spiffe://td/ns/a,b/sa/c"), std::string::npos);
  sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
  X509_REQ_free(request);
}

TEST(Pem, ReadsBundlesAndRefusesBrokenOnes) {
  LocalAuthority ca, other;
  const auto both = ParseCertificates(ca.root_pem() + "some text\n" + other.root_pem());
  ASSERT_TRUE(both.ok());
  EXPECT_EQ(both->size(), 2u);
  EXPECT_FALSE(ParseCertificates("").ok());
  std::string broken = ca.root_pem();
  broken[100] = '!';
  EXPECT_FALSE(ParseCertificates(other.root_pem() + broken).ok());
}

}  // namespace
}  // namespace mesh::identity
