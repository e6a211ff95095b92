#include "tools/meshctl/local/tokens.h"

#include <fmt/format.h>
#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>

#include <array>
#include <vector>

#include "tools/meshctl/json.h"
#include "ztunnel/base/files.h"
#include "ztunnel/base/status.h"

namespace mesh::local {
namespace {

using meshctl::Json;

absl::Status OpensslError(std::string_view what) {
  std::array<char, 256> text{};
  ERR_error_string_n(ERR_get_error(), text.data(), text.size());
  return Internal("{}: {}", what, text.data());
}

std::string BioText(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return std::string(data, size > 0 ? size : 0);
}

}  // namespace

std::string Base64Url(std::string_view bytes) {
  constexpr std::string_view kLetters =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  std::string out;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t group = 0;
    const size_t n = std::min<size_t>(3, bytes.size() - i);
    for (size_t k = 0; k < 3; ++k)
      group = group << 8 | (k < n ? static_cast<uint8_t>(bytes[i + k]) : 0);
    for (size_t k = 0; k <= n; ++k) out += kLetters[group >> (18 - 6 * k) & 63];
  }
  return out;
}

std::string NewUid() {
  std::array<uint8_t, 16> b{};
  RAND_bytes(b.data(), b.size());
  b[6] = (b[6] & 0x0f) | 0x40;
  b[8] = (b[8] & 0x3f) | 0x80;
  std::string out;
  for (size_t i = 0; i < b.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) out += '-';
    out += fmt::format("{:02x}", b[i]);
  }
  return out;
}

absl::StatusOr<TokenSigner> TokenSigner::Open(const std::string& pki_dir) {
  const std::string key_file = pki_dir + "/sa.key", public_file = pki_dir + "/sa.pub";
  std::shared_ptr<EVP_PKEY> key;
  if (auto text = ReadFile(key_file); text.ok()) {
    const std::unique_ptr<BIO, int (*)(BIO*)> bio(
        BIO_new_mem_buf(text->data(), static_cast<int>(text->size())), BIO_free);
    key.reset(PEM_read_bio_PrivateKey(bio.get(), nullptr, nullptr, nullptr), EVP_PKEY_free);
    if (!key) return OpensslError("read " + key_file);
  } else {
    key.reset(EVP_EC_gen("P-256"), EVP_PKEY_free);
    if (!key) return OpensslError("make the token key");
    const std::unique_ptr<BIO, int (*)(BIO*)> bio(BIO_new(BIO_s_mem()), BIO_free);
    if (PEM_write_bio_PrivateKey(bio.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) !=
        1) {
      return OpensslError("write " + key_file);
    }
    RETURN_IF_ERROR(WriteFile(key_file, BioText(bio.get()), 0600));
  }
  const std::unique_ptr<BIO, int (*)(BIO*)> bio(BIO_new(BIO_s_mem()), BIO_free);
  if (PEM_write_bio_PUBKEY(bio.get(), key.get()) != 1) return OpensslError("write " + public_file);
  RETURN_IF_ERROR(WriteFile(public_file, BioText(bio.get())));
  return TokenSigner(std::move(key));
}

absl::StatusOr<std::string> TokenSigner::Sign(const Subject& subject, absl::Time now,
                                              absl::Duration lifetime) const {
  Json claims =
      Json::Obj({{"iss", "kubernetes/serviceaccount"},
                 {"sub", "system:serviceaccount:" + subject.ns + ":" + subject.service_account},
                 {"jti", NewUid()},
                 {"iat", absl::ToUnixSeconds(now)},
                 {"nbf", absl::ToUnixSeconds(now)},
                 {"exp", absl::ToUnixSeconds(now + lifetime)}});
  claims["aud"].Push("istio-ca");
  Json& kubernetes = claims["kubernetes.io"];
  kubernetes["namespace"] = subject.ns;
  kubernetes["serviceaccount"] = Json::Obj({{"name", subject.service_account}});
  kubernetes["pod"] = Json::Obj({{"name", subject.pod_name}, {"uid", subject.pod_uid}});
  kubernetes["node"] = Json::Obj({{"name", subject.node}, {"uid", subject.node_uid}});
  const std::string head =
      Base64Url(R"({"alg":"ES256","typ":"JWT"})") + "." + Base64Url(claims.Dump());

  const std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> context(EVP_MD_CTX_new(),
                                                                   EVP_MD_CTX_free);
  size_t size = 0;
  const auto* bytes = reinterpret_cast<const uint8_t*>(head.data());
  if (EVP_DigestSignInit(context.get(), nullptr, EVP_sha256(), nullptr, key_.get()) != 1 ||
      EVP_DigestSign(context.get(), nullptr, &size, bytes, head.size()) != 1) {
    return OpensslError("sign a node token");
  }
  std::vector<uint8_t> der(size);
  if (EVP_DigestSign(context.get(), der.data(), &size, bytes, head.size()) != 1)
    return OpensslError("sign a node token");
  // JWS wants r and s side by side (RFC 7518, 3.4), not the DER that OpenSSL makes.
  const uint8_t* at = der.data();
  const std::unique_ptr<ECDSA_SIG, void (*)(ECDSA_SIG*)> sig(
      d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(size)), ECDSA_SIG_free);
  if (!sig) return OpensslError("read a signature");
  std::array<uint8_t, 64> raw{};
  if (BN_bn2binpad(ECDSA_SIG_get0_r(sig.get()), raw.data(), 32) != 32 ||
      BN_bn2binpad(ECDSA_SIG_get0_s(sig.get()), raw.data() + 32, 32) != 32) {
    return OpensslError("write a signature");
  }
  return head + "." + Base64Url({reinterpret_cast<const char*>(raw.data()), raw.size()});
}

}  // namespace mesh::local
