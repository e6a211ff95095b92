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

// A CA certificate of `key`, signed by `issuer` (null: by itself), valid from now + `begin`.
struct Ca {
  KeyPtr key{EVP_EC_gen("P-256")};
  CertPtr cert{X509_new()};
};
struct CaWish {
  const char* name;
  const Ca* issuer = nullptr;
  absl::Duration begin = -absl::Hours(1);
  absl::Duration end = absl::Hours(48);
  const char* constraints = "critical,CA:TRUE";
};
Ca MakeCa(const CaWish& wish) {
  Ca ca;
  X509* cert = ca.cert.get();
  X509* issuer = wish.issuer != nullptr ? wish.issuer->cert.get() : cert;
  X509_set_version(cert, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(cert), 7);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "O", MBSTRING_UTF8,
                             reinterpret_cast<const unsigned char*>(wish.name), -1, -1, 0);
  X509_set_issuer_name(cert, X509_get_subject_name(issuer));
  X509_set_pubkey(cert, ca.key.get());
  ASN1_TIME_set(X509_getm_notBefore(cert), absl::ToTimeT(absl::Now() + wish.begin));
  ASN1_TIME_set(X509_getm_notAfter(cert), absl::ToTimeT(absl::Now() + wish.end));
  X509_EXTENSION* extension =
      X509V3_EXT_conf_nid(nullptr, nullptr, NID_basic_constraints, wish.constraints);
  X509_add_ext(cert, extension, -1);
  X509_EXTENSION_free(extension);
  X509_sign(cert, wish.issuer != nullptr ? wish.issuer->key.get() : ca.key.get(), EVP_sha256());
  return ca;
}

std::string KeyPem(const Ca& ca) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  PEM_write_bio_PKCS8PrivateKey(bio.get(), ca.key.get(), nullptr, nullptr, 0, nullptr, nullptr);
  return TextOf(bio.get());
}

// What a peer says that holds `root` alone and is sent the other elements of the answer.
std::string VerifiedBy(X509* root, const std::vector<std::string>& answer) {
  X509_STORE* store = X509_STORE_new();
  X509_STORE_add_cert(store, root);
  STACK_OF(X509)* sent = sk_X509_new_null();
  std::vector<CertPtr> owned;
  for (size_t i = 1; i + 1 < answer.size(); ++i) {
    const BioPtr bio = ReadBio(answer[i]);
    while (X509* cert = PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)) {
      owned.emplace_back(cert);
      sk_X509_push(sent, cert);
    }
  }
  const CertPtr leaf = Parse(answer.front());
  X509_STORE_CTX* context = X509_STORE_CTX_new();
  X509_STORE_CTX_init(context, store, leaf.get(), sent);
  X509_verify_cert(context);
  const std::string result = X509_verify_cert_error_string(X509_STORE_CTX_get_error(context));
  X509_STORE_CTX_free(context);
  sk_X509_free(sent);
  X509_STORE_free(store);
  return result;
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

  void Put(const std::string& file, const std::string& text) {
    std::ofstream(directory_ / file) << text;
  }
  void Supply(const Ca& ca, const std::string& chain, const std::string& roots) {
    Put("ca-key.pem", KeyPem(ca));
    Put("ca-cert.pem", CertText(ca.cert.get()));
    Put("cert-chain.pem", chain);
    Put("root-cert.pem", roots);
  }
  std::string WhyNotOpen() {
    const auto authority = CertificateAuthority::Open({.directory = directory_});
    return authority.ok() ? "opened" : Describe(authority.status());
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

TEST_F(AuthorityTest, RootsAreRotatedWithoutARestart) {
  const Ca before = MakeCa({.name = "before"}), after = MakeCa({.name = "after"});
  const std::string old_pem = CertText(before.cert.get()), new_pem = CertText(after.cert.get());
  Supply(before, old_pem, old_pem);
  auto authority = CertificateAuthority::Open({.directory = directory_});
  ASSERT_TRUE(authority.ok()) << Describe(authority.status());
  const auto renewed = [&] {
    const auto changed = authority->Renew();
    if (!changed.ok()) return Describe(changed.status());
    return std::string(*changed ? "changed" : "the same");
  };
  EXPECT_EQ(renewed(), "the same");
  Put("root-cert.pem", old_pem + new_pem);
  EXPECT_EQ(renewed(), "changed");
  EXPECT_EQ(authority->root_pem(), old_pem + new_pem);
  Put("ca-key.pem", KeyPem(after));  // half of what is to come
  EXPECT_NE(renewed().find("ca-key.pem"), std::string::npos);
  EXPECT_TRUE(authority->Sign(MakeCsr(), kId, absl::Hours(1)).ok());
  Put("ca-cert.pem", new_pem);
  Put("cert-chain.pem", new_pem);
  EXPECT_EQ(renewed(), "changed");
  const auto issued = authority->Sign(MakeCsr(), kId, absl::Hours(1));
  ASSERT_TRUE(issued.ok());
  EXPECT_EQ(X509_verify(Parse(issued->chain[0]).get(), after.key.get()), 1);
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

TEST_F(AuthorityTest, PeersThatHoldTheRootAloneAcceptWhatASuppliedIntermediateSigns) {
  const Ca root = MakeCa({.name = "root"});
  const Ca old_root = MakeCa({.name = "old root", .end = -absl::Minutes(1)});
  const Ca middle = MakeCa({.name = "middle", .issuer = &root, .end = absl::Hours(3)});
  const Ca ca = MakeCa({.name = "ca", .issuer = &middle});
  const std::string roots = CertText(old_root.cert.get()) + CertText(root.cert.get());
  const std::string up = CertText(middle.cert.get());
  // Istio's file begins with ca-cert.pem and may end with the root.
  for (const std::string& chain :
       {up, CertText(ca.cert.get()) + up, CertText(ca.cert.get()) + up + roots}) {
    Supply(ca, chain, roots);
    const auto authority = CertificateAuthority::Open({.directory = directory_});
    ASSERT_TRUE(authority.ok()) << Describe(authority.status());
    const auto issued = authority->Sign(MakeCsr(), kId, absl::Hours(24));
    ASSERT_TRUE(issued.ok());
    ASSERT_EQ(issued->chain.size(), 3u);
    EXPECT_EQ(issued->chain[1], CertText(ca.cert.get()) + up);
    EXPECT_EQ(issued->chain[2], roots);
    EXPECT_LE(issued->not_after, absl::Now() + absl::Hours(3)) << "not beyond an intermediate";
    EXPECT_EQ(VerifiedBy(root.cert.get(), issued->chain), "ok");
    EXPECT_NE(VerifiedBy(MakeCa({.name = "root"}).cert.get(), issued->chain), "ok");
    const auto server = authority->IssueServer({"localhost"}, absl::Hours(1));
    ASSERT_TRUE(server.ok());
    EXPECT_TRUE(server->chain_pem.ends_with(CertText(ca.cert.get()) + up));
  }
}

TEST_F(AuthorityTest, SuppliedFilesThatDoNotFitAreNamed) {
  const Ca root = MakeCa({.name = "root"});
  const Ca other = MakeCa({.name = "root"});
  const Ca good = MakeCa({.name = "ca", .issuer = &root});
  const Ca middle = MakeCa({.name = "middle", .issuer = &root});
  const Ca deep = MakeCa({.name = "ca", .issuer = &middle});
  const Ca ended_middle = MakeCa({.name = "middle", .issuer = &root, .end = -absl::Minutes(1)});
  const Ca below_ended = MakeCa({.name = "ca", .issuer = &ended_middle});
  const Ca dead_end =
      MakeCa({.name = "middle", .issuer = &root, .constraints = "critical,CA:TRUE,pathlen:0"});
  const Ca below_dead_end = MakeCa({.name = "ca", .issuer = &dead_end});
  const Ca ended_root = MakeCa({.name = "root", .end = -absl::Minutes(1)});
  const Ca below_ended_root = MakeCa({.name = "ca", .issuer = &ended_root});
  const auto pem = [](const Ca& ca) { return CertText(ca.cert.get()); };
  const auto expect = [this](const Ca& ca, const std::string& chain, const std::string& roots,
                             const std::string& what) {
    Supply(ca, chain, roots);
    EXPECT_NE(WhyNotOpen().find(what), std::string::npos) << what << "\n" << WhyNotOpen();
  };
  expect(good, pem(good), pem(root), "opened");
  expect(good, "", pem(root), "opened");
  const Ca ended = MakeCa({.name = "ca", .issuer = &root, .end = -absl::Minutes(1)});
  expect(ended, pem(ended), pem(root), "ca-cert.pem ended ");
  const Ca early = MakeCa({.name = "ca", .issuer = &root, .begin = absl::Hours(1)});
  expect(early, pem(early), pem(root), "ca-cert.pem is not valid before ");
  const Ca leaf = MakeCa({.name = "ca", .issuer = &root, .constraints = "critical,CA:FALSE"});
  expect(leaf, pem(leaf), pem(root), "ca-cert.pem is no CA certificate");
  expect(good, pem(good), pem(other), "root-cert.pem does not lead to ca-cert.pem");
  expect(deep, pem(deep), pem(root), "root-cert.pem does not lead to ca-cert.pem");
  expect(deep, pem(middle), pem(root), "opened");
  expect(below_ended, pem(ended_middle), pem(root), "cert-chain.pem: certificate has expired");
  expect(below_dead_end, pem(dead_end), pem(root), "path length");
  expect(below_ended_root, pem(below_ended_root), pem(ended_root),
         "root-cert.pem: certificate has expired");
  expect(good, pem(good) + "-----BEGIN CERTIFICATE-----\nx\n", pem(root),
         "cert-chain.pem is no PEM certificate");
  Supply(good, pem(good), pem(root));
  Put("ca-key.pem", KeyPem(other));
  EXPECT_NE(WhyNotOpen().find("ca-key.pem is not the key of ca-cert.pem"), std::string::npos);
  Put("ca-key.pem", "x");
  EXPECT_NE(WhyNotOpen().find("ca-key.pem is no PEM key"), std::string::npos);
  fs::remove(directory_ / "root-cert.pem");
  Put("ca-key.pem", KeyPem(good));
  EXPECT_NE(WhyNotOpen().find("root-cert.pem"), std::string::npos);
}

TEST_F(AuthorityTest, HalfFilledDirectoriesAreNotOverwritten) {
  MakeIntermediate();
  fs::remove(directory_ / "ca-key.pem");
  EXPECT_FALSE(CertificateAuthority::Open({.directory = directory_}).ok());
  EXPECT_FALSE(fs::exists(directory_ / "ca-key.pem"));
  fs::copy(directory_ / "root-key.pem", directory_ / "ca-key.pem");  // of another certificate
  EXPECT_FALSE(CertificateAuthority::Open({.directory = directory_}).ok());
}

TEST(Issuable, IsFivePartsOfNamesAndNothingElse) {
  ASSERT_TRUE(ParseIssuable(kId).ok());
  EXPECT_EQ(ParseIssuable(kId)->ToString(), kId);
  for (const char* bad :
       {"", "spiffe://", "spiffe://a/ns/b/sa", "spiffe://a/ns/b/sa/", "spiffe://a/ns//sa/c",
        "spiffe://a/ns/b/sa/c/d", "https://a/ns/b/sa/c", "spiffe://a/xx/b/sa/c",
        "spiffe://a/ns/b/sa/c d", "spiffe://a/ns/b/sa/c,URI:x"}) {
    EXPECT_FALSE(ParseIssuable(bad).ok()) << bad;
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
