#include "agent/controller/ca/certificate_authority.h"

#include <fmt/format.h>
#include <openssl/rand.h>
#include <sys/stat.h>

#include "ztunnel/base/files.h"
#include "ztunnel/base/ip.h"
#include "ztunnel/base/status.h"

namespace mesh::controller {
namespace {

// How far back a certificate begins. Clients renew at half of the whole span, so of a short
// lifetime it is a small part: else they would renew at once and for ever.
constexpr absl::Duration kClockSkew = absl::Minutes(2);
absl::Duration SkewFor(absl::Duration lifetime) { return std::min(kClockSkew, lifetime / 10); }

std::string KeyText(EVP_PKEY* key) {
  BioPtr bio(BIO_new(BIO_s_mem()));
  PEM_write_bio_PKCS8PrivateKey(bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr);
  return TextOf(bio.get());
}

void SetTime(ASN1_TIME* out, absl::Time time) { ASN1_TIME_set(out, absl::ToTimeT(time)); }

absl::Status AddExtension(X509* cert, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, cert, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str());
  if (extension == nullptr) {
    return Internal("certificate extension {}: {}", OBJ_nid2sn(nid), OpensslError());
  }
  X509_add_ext(cert, extension, -1);
  X509_EXTENSION_free(extension);
  return absl::OkStatus();
}

absl::Status SetSerial(X509* cert) {
  unsigned char bytes[16];
  if (RAND_bytes(bytes, sizeof bytes) != 1) return Internal("no random bytes: {}", OpensslError());
  bytes[0] = (bytes[0] & 0x7f) | 0x01;  // positive and of full length
  BIGNUM* number = BN_bin2bn(bytes, sizeof bytes, nullptr);
  BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert));
  BN_free(number);
  return absl::OkStatus();
}

std::string SerialOf(X509* cert) {
  BIGNUM* number = ASN1_INTEGER_to_BN(X509_get_serialNumber(cert), nullptr);
  char* text = BN_bn2hex(number);
  std::string serial(text);
  OPENSSL_free(text);
  BN_free(number);
  return serial;
}

}  // namespace

absl::StatusOr<CertificateAuthority> CertificateAuthority::Open(Options options) {
  CertificateAuthority authority;
  authority.options_ = std::move(options);
  const std::string& directory = authority.options_.directory;
  if (::mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST) {
    return Errno(errno, "create the CA directory {}", directory);
  }
  if (::access((directory + "/ca-key.pem").c_str(), F_OK) != 0) {
    if (::access((directory + "/ca-cert.pem").c_str(), F_OK) == 0) {
      return FailedPrecondition("{} has ca-cert.pem and no ca-key.pem", directory);
    }
    RETURN_IF_ERROR(WithContext(authority.CreateRoot(), "make a root certificate"));
  }
  authority.stamps_ = StampsOf(directory);
  RETURN_IF_ERROR(WithContext(authority.Load(), "CA in " + directory));
  return authority;
}

std::vector<CertificateAuthority::Stamp> CertificateAuthority::StampsOf(
    const std::string& directory) {
  std::vector<Stamp> stamps;
  for (const char* file : {"/ca-key.pem", "/ca-cert.pem", "/cert-chain.pem", "/root-cert.pem"}) {
    struct stat info = {};
    const bool there = ::stat((directory + file).c_str(), &info) == 0;
    stamps.push_back(there ? Stamp{static_cast<int64_t>(info.st_ino), info.st_size,
                                   info.st_mtim.tv_sec * 1'000'000'000 + info.st_mtim.tv_nsec}
                           : Stamp{});
  }
  return stamps;
}

absl::StatusOr<bool> CertificateAuthority::Renew() {
  std::vector<Stamp> stamps = StampsOf(options_.directory);
  if (stamps == stamps_) return false;
  CertificateAuthority now;
  now.options_ = options_;
  RETURN_IF_ERROR(WithContext(now.Load(), "CA in " + options_.directory));
  now.stamps_ = std::move(stamps);
  *this = std::move(now);
  return true;
}

absl::Status CertificateAuthority::CreateRoot() const {
  KeyPtr key(EVP_EC_gen("P-256"));
  CertPtr cert(X509_new());
  if (key == nullptr || cert == nullptr) return Internal("{}", OpensslError());
  X509_set_version(cert.get(), 2);
  RETURN_IF_ERROR(SetSerial(cert.get()));
  X509_NAME* name = X509_get_subject_name(cert.get());
  X509_NAME_add_entry_by_txt(name, "O", MBSTRING_UTF8,
                             reinterpret_cast<const unsigned char*>(options_.trust_domain.c_str()),
                             -1, -1, 0);
  X509_set_issuer_name(cert.get(), name);
  X509_set_pubkey(cert.get(), key.get());
  const absl::Time now = absl::Now();
  SetTime(X509_getm_notBefore(cert.get()), now - kClockSkew);
  SetTime(X509_getm_notAfter(cert.get()), now + options_.root_lifetime);
  RETURN_IF_ERROR(AddExtension(cert.get(), cert.get(), NID_basic_constraints, "critical,CA:TRUE"));
  RETURN_IF_ERROR(
      AddExtension(cert.get(), cert.get(), NID_key_usage, "critical,keyCertSign,cRLSign"));
  RETURN_IF_ERROR(AddExtension(cert.get(), cert.get(), NID_subject_key_identifier, "hash"));
  if (X509_sign(cert.get(), key.get(), EVP_sha256()) == 0) return Internal("{}", OpensslError());
  const std::string text = CertText(cert.get());
  // The key comes last: a directory with a key is complete.
  for (const char* file : {"/root-cert.pem", "/cert-chain.pem", "/ca-cert.pem"}) {
    RETURN_IF_ERROR(WriteFile(options_.directory + file, text, 0644));
  }
  return WriteFile(options_.directory + "/ca-key.pem", KeyText(key.get()), 0600);
}

absl::Status CertificateAuthority::Load() {
  ASSIGN_OR_RETURN(const std::string key_pem, ReadFile(options_.directory + "/ca-key.pem"));
  ASSIGN_OR_RETURN(root_pem_, ReadFile(options_.directory + "/root-cert.pem"));
  const BioPtr bio = ReadBio(key_pem);
  key_.reset(PEM_read_bio_PrivateKey(bio.get(), nullptr, nullptr, nullptr));
  if (key_ == nullptr) return Invalid("ca-key.pem is no PEM key: {}", OpensslError());
  ASSIGN_OR_RETURN(chain_, ReadCaChain(options_.directory));
  if (X509_check_private_key(chain_.cert.get(), key_.get()) != 1) {
    ERR_clear_error();
    return Invalid("ca-key.pem is not the key of ca-cert.pem");
  }
  // Better no controller than one whose certificates every peer refuses.
  absl::StatusOr<CertPtr> trial =
      MakeLeaf(key_.get(), fmt::format("URI:spiffe://{}/ns/trial/sa/trial", options_.trust_domain),
               true, absl::Minutes(5));
  if (!trial.ok()) return WithContext(trial.status(), "ca-key.pem");
  return VerifyAsPeer(chain_, trial->get());
}

absl::StatusOr<CertPtr> CertificateAuthority::MakeLeaf(EVP_PKEY* key, const std::string& san,
                                                       bool critical_san,
                                                       absl::Duration lifetime) const {
  CertPtr cert(X509_new());
  X509_set_version(cert.get(), 2);
  RETURN_IF_ERROR(SetSerial(cert.get()));
  X509_set_issuer_name(cert.get(), X509_get_subject_name(chain_.cert.get()));
  X509_set_pubkey(cert.get(), key);
  const absl::Time now = absl::Now();
  SetTime(X509_getm_notBefore(cert.get()), now - SkewFor(lifetime));
  SetTime(X509_getm_notAfter(cert.get()), std::min(now + lifetime, chain_.not_after));
  RETURN_IF_ERROR(AddExtension(cert.get(), chain_.cert.get(), NID_key_usage,
                               "critical,digitalSignature,keyEncipherment"));
  RETURN_IF_ERROR(
      AddExtension(cert.get(), chain_.cert.get(), NID_ext_key_usage, "serverAuth,clientAuth"));
  RETURN_IF_ERROR(
      AddExtension(cert.get(), chain_.cert.get(), NID_basic_constraints, "critical,CA:FALSE"));
  if (X509_get0_subject_key_id(chain_.cert.get()) != nullptr) {
    RETURN_IF_ERROR(
        AddExtension(cert.get(), chain_.cert.get(), NID_authority_key_identifier, "keyid"));
  }
  RETURN_IF_ERROR(AddExtension(cert.get(), chain_.cert.get(), NID_subject_alt_name,
                               (critical_san ? "critical," : "") + san));
  if (X509_sign(cert.get(), key_.get(), EVP_sha256()) == 0) {
    return Internal("signing failed: {}", OpensslError());
  }
  return cert;
}

absl::StatusOr<IssuedCertificate> CertificateAuthority::Sign(const std::string& csr_pem,
                                                             const std::string& spiffe_id,
                                                             absl::Duration lifetime) const {
  if (csr_pem.size() > 65536) return Invalid("certificate request of {} bytes", csr_pem.size());
  const BioPtr bio = ReadBio(csr_pem);
  const RequestPtr request(PEM_read_bio_X509_REQ(bio.get(), nullptr, nullptr, nullptr));
  if (request == nullptr) return Invalid("no PEM certificate request: {}", OpensslError());
  EVP_PKEY* key = X509_REQ_get0_pubkey(request.get());
  if (key == nullptr || X509_REQ_verify(request.get(), key) != 1) {
    return Invalid("the request is not signed with its own key: {}", OpensslError());
  }
  if (lifetime <= absl::ZeroDuration()) lifetime = options_.default_lifetime;
  if (lifetime > options_.max_lifetime) {
    return Invalid("lifetime {} is longer than {}", absl::FormatDuration(lifetime),
                   absl::FormatDuration(options_.max_lifetime));
  }
  ASSIGN_OR_RETURN(const CertPtr cert, MakeLeaf(key, "URI:" + spiffe_id, true, lifetime));
  IssuedCertificate issued;
  issued.chain.push_back(CertText(cert.get()));
  if (std::string above = chain_.Pem(); !above.empty()) issued.chain.push_back(std::move(above));
  issued.chain.push_back(root_pem_);
  issued.serial = SerialOf(cert.get());
  issued.not_before = TimeOf(X509_get0_notBefore(cert.get()));
  issued.not_after = TimeOf(X509_get0_notAfter(cert.get()));
  return issued;
}

absl::StatusOr<CertificateAuthority::ServerCertificate> CertificateAuthority::IssueServer(
    const std::vector<std::string>& names, absl::Duration lifetime) const {
  const KeyPtr key(EVP_EC_gen("P-256"));
  if (key == nullptr) return Internal("{}", OpensslError());
  std::string san;
  for (const std::string& name : names) {
    if (!san.empty()) san += ",";
    san += (IpAddress::Parse(name) ? "IP:" : "DNS:") + name;
  }
  ASSIGN_OR_RETURN(const CertPtr cert, MakeLeaf(key.get(), san, true, lifetime));
  return ServerCertificate{KeyText(key.get()), CertText(cert.get()) + chain_.Pem(),
                           TimeOf(X509_get0_notAfter(cert.get()))};
}

}  // namespace mesh::controller
