#include "ztunnel/waypoint/filter/jwt_signature.h"

#include <openssl/crypto.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rsa.h>

#include <memory>
#include <string>

namespace mesh::filter {
namespace {

constexpr Algorithm kAlgorithms[] = {
    {"RS256", "RSA", "", "SHA256"},       {"RS384", "RSA", "", "SHA384"},
    {"RS512", "RSA", "", "SHA512"},       {"PS256", "RSA", "", "SHA256", true},
    {"PS384", "RSA", "", "SHA384", true}, {"PS512", "RSA", "", "SHA512", true},
    {"ES256", "EC", "P-256", "SHA256"},   {"ES384", "EC", "P-384", "SHA384"},
    {"ES512", "EC", "P-521", "SHA512"},   {"HS256", "oct", "", "SHA256"},
    {"HS384", "oct", "", "SHA384"},       {"HS512", "oct", "", "SHA512"},
    {"EdDSA", "OKP", "Ed25519", ""},
};

const unsigned char* Bytes(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

const EVP_MD* DigestOf(const Algorithm& algorithm) {
  if (algorithm.digest == "SHA256") return EVP_sha256();
  if (algorithm.digest == "SHA384") return EVP_sha384();
  if (algorithm.digest == "SHA512") return EVP_sha512();
  return nullptr;
}

// r and s side by side (RFC 7518, 3.4) in the form that OpenSSL takes; empty when it is not that.
std::string DerOf(std::string_view curve, std::string_view signature) {
  const size_t size = EcBytes(curve);
  if (signature.size() != 2 * size) return {};
  std::unique_ptr<ECDSA_SIG, decltype(&ECDSA_SIG_free)> pair(ECDSA_SIG_new(), ECDSA_SIG_free);
  BIGNUM* r = BN_bin2bn(Bytes(signature), static_cast<int>(size), nullptr);
  BIGNUM* s = BN_bin2bn(Bytes(signature.substr(size)), static_cast<int>(size), nullptr);
  if (!pair || r == nullptr || s == nullptr || ECDSA_SIG_set0(pair.get(), r, s) != 1) {
    BN_free(r);
    BN_free(s);
    return {};
  }
  unsigned char* der = nullptr;
  const int length = i2d_ECDSA_SIG(pair.get(), &der);
  std::string out;
  if (length > 0) out.assign(reinterpret_cast<const char*>(der), static_cast<size_t>(length));
  OPENSSL_free(der);
  return out;
}

}  // namespace

std::optional<Algorithm> FindAlgorithm(std::string_view name) {
  for (const Algorithm& algorithm : kAlgorithms)
    if (algorithm.name == name) return algorithm;
  return std::nullopt;
}

size_t EcBytes(std::string_view curve) {
  if (curve == "P-256") return 32;
  if (curve == "P-384") return 48;
  return curve == "P-521" ? 66 : 0;
}

bool VerifyMac(const Algorithm& algorithm, std::string_view secret, std::string_view text,
               std::string_view mac) {
  unsigned char expected[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  if (HMAC(DigestOf(algorithm), secret.data(), static_cast<int>(secret.size()), Bytes(text),
           text.size(), expected, &size) == nullptr)
    return false;
  return mac.size() == size && CRYPTO_memcmp(expected, mac.data(), size) == 0;
}

bool VerifySignature(const Algorithm& algorithm, EVP_PKEY* key, std::string_view text,
                     std::string_view signature) {
  std::string der;
  if (algorithm.key_type == "EC") {
    der = DerOf(algorithm.curve, signature);
    if (der.empty()) return false;
    signature = der;
  }
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(),
                                                                  EVP_MD_CTX_free);
  EVP_PKEY_CTX* parameters = nullptr;  // the context's
  bool good = context && EVP_DigestVerifyInit(context.get(), &parameters, DigestOf(algorithm),
                                              nullptr, key) == 1;
  if (good && algorithm.pss) {
    good = EVP_PKEY_CTX_set_rsa_padding(parameters, RSA_PKCS1_PSS_PADDING) == 1 &&
           EVP_PKEY_CTX_set_rsa_pss_saltlen(parameters, RSA_PSS_SALTLEN_DIGEST) == 1;
  }
  good = good && EVP_DigestVerify(context.get(), Bytes(signature), signature.size(), Bytes(text),
                                  text.size()) == 1;
  ERR_clear_error();  // a bad signature leaves errors for whoever asks OpenSSL next
  return good;
}

}  // namespace mesh::filter
