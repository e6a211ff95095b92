#include "ztunnel/core/tls/record_keys.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#include <cstring>
#include <memory>
#include <span>
#include <string_view>

#include "ztunnel/base/log.h"
#include "ztunnel/base/status.h"

namespace mesh::tls {
namespace {

struct FreeKdf {
  void operator()(EVP_KDF* kdf) const { EVP_KDF_free(kdf); }
  void operator()(EVP_KDF_CTX* context) const { EVP_KDF_CTX_free(context); }
};

// HKDF-Expand-Label of RFC 8446, section 7.1, with an empty context.
absl::Status ExpandLabel(const CipherSuite& suite, const identity::TrafficSecret& secret,
                         std::string_view label, std::span<uint8_t> out) {
  std::array<uint8_t, 64> info{};
  size_t n = 0;
  auto put = [&](std::string_view text) {
    MESH_CHECK(n + text.size() < info.size(), "a label of RFC 8446 is short");
    std::memcpy(info.data() + n, text.data(), text.size());
    n += text.size();
  };
  info[n++] = 0;
  info[n++] = static_cast<uint8_t>(out.size());
  info[n++] = static_cast<uint8_t>(6 + label.size());
  put("tls13 ");
  put(label);
  info[n++] = 0;  // no context

  static EVP_KDF* const hkdf = EVP_KDF_fetch(nullptr, "HKDF", nullptr);
  const std::unique_ptr<EVP_KDF_CTX, FreeKdf> context(EVP_KDF_CTX_new(hkdf));
  int mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY;
  const std::span<const uint8_t> key = secret.bytes();
  const OSSL_PARAM params[] = {
      OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode),
      OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST,
                                       const_cast<char*>(EVP_MD_get0_name(suite.hash)), 0),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, const_cast<uint8_t*>(key.data()),
                                        key.size()),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info.data(), n),
      OSSL_PARAM_construct_end()};
  if (context == nullptr || EVP_KDF_derive(context.get(), out.data(), out.size(), params) != 1) {
    return Internal("HKDF of a traffic secret failed");
  }
  return absl::OkStatus();
}

}  // namespace

RecordKey::~RecordKey() {
  OPENSSL_cleanse(key.data(), key.size());
  OPENSSL_cleanse(iv.data(), iv.size());
}

absl::StatusOr<CipherSuite> SuiteOf(const SSL* ssl) {
  const SSL_CIPHER* agreed = SSL_get_current_cipher(ssl);
  if (agreed == nullptr || SSL_version(ssl) != TLS1_3_VERSION) {
    return Unauthenticated("the connection is not TLS 1.3");
  }
  CipherSuite suite;
  suite.hash = SSL_CIPHER_get_handshake_digest(agreed);
  switch (SSL_CIPHER_get_id(agreed)) {
    case TLS1_3_CK_AES_128_GCM_SHA256:
      suite.cipher = Cipher::kAes128Gcm;
      break;
    case TLS1_3_CK_AES_256_GCM_SHA384:
      suite.cipher = Cipher::kAes256Gcm;
      break;
    case TLS1_3_CK_CHACHA20_POLY1305_SHA256:
      suite.cipher = Cipher::kChaCha20Poly1305;
      break;
    default:
      return Unauthenticated("cipher suite {} is not spoken here", SSL_CIPHER_get_name(agreed));
  }
  return suite;
}

absl::Status DeriveKey(const CipherSuite& suite, const identity::TrafficSecret& secret,
                       RecordKey& out) {
  RETURN_IF_ERROR(ExpandLabel(suite, secret, "key", std::span(out.key).first(suite.key_bytes())));
  return ExpandLabel(suite, secret, "iv", out.iv);
}

absl::Status NextSecret(const CipherSuite& suite, identity::TrafficSecret& secret) {
  identity::TrafficSecret next;
  RETURN_IF_ERROR(ExpandLabel(suite, secret, "traffic upd",
                              next.Resize(static_cast<size_t>(EVP_MD_get_size(suite.hash)))));
  secret = next;
  return absl::OkStatus();
}

}  // namespace mesh::tls
