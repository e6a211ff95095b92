#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "agent/controller/ca/certificate_authority.h"
#include "agent/controller/ca/spiffe.h"
#include "agent/controller/ca/token.h"
#include "ztunnel/base/status.h"

namespace mesh::controller {
namespace {

namespace fs = std::filesystem;

constexpr char kId[] = "spiffe://cluster.local/ns/shop/sa/web";

std::string MakeCsr(bool good = true) {
  const KeyPtr key(EVP_EC_gen("P-256"));
  const KeyPtr other(EVP_EC_gen("P-256"));
  const RequestPtr request(X509_REQ_new());
  X509_REQ_set_pubkey(request.get(), key.get());
  X509_REQ_sign(request.get(), good ? key.get() : other.get(), EVP_sha256());
  const BioPtr bio(BIO_new(BIO_s_mem()));
  PEM_write_bio_X509_REQ(bio.get(), request.get());
  return TextOf(bio.get());
}

CertPtr Parse(const std::string& pem) {
  const BioPtr bio = ReadBio(pem);
  return CertPtr(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
}

class AuthorityTest : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = fs::temp_directory_path() / ("ca_test_" + std::to_string(::getpid()));
    fs::remove_all(directory_);
    fs::create_directories(directory_);
  }
  void TearDown() override { fs::remove_all(directory_); }

  // OpenSSL's own tool as the one who supplies an intermediate.
  void Shell(const std::string& command) {
    const std::string line = "cd " + directory_.string() + " && (" + command + ") >/dev/null 2>&1";
    ASSERT_EQ(std::system(line.c_str()), 0) << command;
  }
  void MakeIntermediate() {
    Shell(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout root-key.pem "
        "-subj /O=corp -days 30 -out root-cert.pem");
    Shell(
        "openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca-key.pem "
        "-subj /O=mesh -out ca.csr");
    Shell(
        "printf 'basicConstraints=critical,CA:TRUE\\nsubjectKeyIdentifier=hash\\n' > ext && "
        "openssl x509 -req -in ca.csr -CA root-cert.pem -CAkey root-key.pem -CAcreateserial -days "
        "2 "
        "-extfile ext -out ca-cert.pem && cp ca-cert.pem cert-chain.pem");
  }

  fs::path directory_;
};

TEST_F(AuthorityTest, SignsForTheIdentityGivenWithTheUsualExtensions) {
  const auto authority = CertificateAuthority::Open({.directory = directory_});
  ASSERT_TRUE(authority.ok()) << Describe(authority.status());
  const absl::Time now = absl::Now();
  const auto issued = authority->Sign(MakeCsr(), kId, absl::Seconds(30));
  ASSERT_TRUE(issued.ok()) << Describe(issued.status());
  ASSERT_EQ(issued->chain.size(), 2u);
  EXPECT_LE(issued->not_before, now - absl::Seconds(2));
  EXPECT_GE(issued->not_before, now - absl::Seconds(5));  // half life is still ahead
  EXPECT_GE(issued->not_after, now + absl::Seconds(29));
  EXPECT_LE(issued->not_after, now + absl::Seconds(32));
  const CertPtr leaf = Parse(issued->chain[0]);
  const CertPtr root = Parse(issued->chain[1]);
  EXPECT_EQ(X509_verify(leaf.get(), X509_get0_pubkey(root.get())), 1);
  EXPECT_EQ(X509_check_ca(leaf.get()), 0);
  EXPECT_EQ(X509_get_extended_key_usage(leaf.get()), uint32_t{XKU_SSL_SERVER | XKU_SSL_CLIENT});
  EXPECT_EQ(X509_get_key_usage(leaf.get()), uint32_t{KU_DIGITAL_SIGNATURE | KU_KEY_ENCIPHERMENT});
  EXPECT_EQ(X509_NAME_entry_count(X509_get_subject_name(leaf.get())), 0);
}

TEST_F(AuthorityTest, LifetimesHaveADefaultAndAMaximum) {
  const auto authority = CertificateAuthority::Open({.directory = directory_});
  ASSERT_TRUE(authority.ok());
  const auto usual = authority->Sign(MakeCsr(), kId, absl::ZeroDuration());
  ASSERT_TRUE(usual.ok());
  EXPECT_NEAR(absl::ToDoubleHours(usual->not_after - absl::Now()), 24, 0.01);
  EXPECT_LE(usual->not_before, absl::Now() - absl::Minutes(2));
  EXPECT_FALSE(authority->Sign(MakeCsr(), kId, absl::Hours(24 * 91)).ok());
}

TEST_F(AuthorityTest, RefusesRequestsThatDoNotHold) {
  const auto authority = CertificateAuthority::Open({.directory = directory_});
  ASSERT_TRUE(authority.ok());
  EXPECT_FALSE(authority->Sign("", kId, absl::Hours(1)).ok());
  EXPECT_FALSE(
      authority->Sign("-----BEGIN CERTIFICATE REQUEST-----\nx\n", kId, absl::Hours(1)).ok());
  EXPECT_FALSE(authority->Sign(MakeCsr(false), kId, absl::Hours(1)).ok());
}

TEST_F(AuthorityTest, KeepsItsRoot) {
  const auto first = CertificateAuthority::Open({.directory = directory_});
  const auto second = CertificateAuthority::Open({.directory = directory_});
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_EQ(first->root_pem(), second->root_pem());
}

TEST_F(AuthorityTest, UsesASuppliedIntermediate) {
  MakeIntermediate();
  const auto authority = CertificateAuthority::Open({.directory = directory_});
  ASSERT_TRUE(authority.ok()) << Describe(authority.status());
  const auto issued = authority->Sign(MakeCsr(), kId, absl::Hours(24 * 30));
  ASSERT_TRUE(issued.ok());
  ASSERT_EQ(issued->chain.size(), 3u) << "leaf, intermediate, root";
  EXPECT_EQ(issued->not_after, authority->not_after()) << "never beyond the CA's own end";
  const CertPtr leaf = Parse(issued->chain[0]);
  const CertPtr intermediate = Parse(issued->chain[1]);
  EXPECT_EQ(X509_verify(leaf.get(), X509_get0_pubkey(intermediate.get())), 1);
  EXPECT_EQ(X509_verify(intermediate.get(), X509_get0_pubkey(Parse(issued->chain[2]).get())), 1);
}

TEST_F(AuthorityTest, HalfFilledDirectoriesAreNotOverwritten) {
  MakeIntermediate();
  fs::remove(directory_ / "ca-key.pem");
  EXPECT_FALSE(CertificateAuthority::Open({.directory = directory_}).ok());
  EXPECT_FALSE(fs::exists(directory_ / "ca-key.pem"));
  fs::copy(directory_ / "root-key.pem", directory_ / "ca-key.pem");  // of another certificate
  EXPECT_FALSE(CertificateAuthority::Open({.directory = directory_}).ok());
}

TEST(SpiffeId, IsFivePartsAndNothingElse) {
  ASSERT_TRUE(SpiffeId::Parse(kId).ok());
  EXPECT_EQ(SpiffeId::Parse(kId)->ToString(), kId);
  for (const char* bad :
       {"", "spiffe://", "spiffe://a/ns/b/sa", "spiffe://a/ns/b/sa/", "spiffe://a/ns//sa/c",
        "spiffe://a/ns/b/sa/c/d", "https://a/ns/b/sa/c", "spiffe://a/xx/b/sa/c",
        "spiffe://a/ns/b/sa/c d", "spiffe://a/ns/b/sa/c,URI:x"}) {
    EXPECT_FALSE(SpiffeId::Parse(bad).ok()) << bad;
  }
}

TEST(Claims, MustBeWhole) {
  const std::string good =
      R"({"iss":"kubernetes/serviceaccount","aud":["istio-ca"],"exp":4000000000,)"
      R"("sub":"system:serviceaccount:istio-system:ztunnel","kubernetes.io":{"namespace":"istio-system",)"
      R"("serviceaccount":{"name":"ztunnel"},"pod":{"name":"z","uid":"u"},"node":{"name":"n1"}}})";
  const absl::Time now = absl::FromUnixSeconds(1'800'000'000);
  const auto caller = ReadClaims(good, now);
  ASSERT_TRUE(caller.ok()) << Describe(caller.status());
  EXPECT_EQ(caller->node, "n1");
  EXPECT_EQ(caller->pod_uid, "u");
  const auto without = [&good](std::string_view part, std::string_view instead) {
    std::string text = good;
    text.replace(text.find(part), part.size(), instead);
    return text;
  };
  EXPECT_FALSE(ReadClaims(without("istio-ca", "other"), now).ok());
  EXPECT_FALSE(ReadClaims(without("4000000000", "1700000000"), now).ok());
  EXPECT_FALSE(ReadClaims(without("\"exp\":4000000000,", ""), now).ok());
  EXPECT_FALSE(ReadClaims(without("kubernetes/serviceaccount", "evil"), now).ok());
  EXPECT_FALSE(ReadClaims(without("system:serviceaccount:istio-system:ztunnel", "x"), now).ok());
  EXPECT_FALSE(ReadClaims("[]", now).ok());
}

}  // namespace
}  // namespace mesh::controller
