#include <openssl/evp.h>

#include <utility>

#include "ztunnel/base/status.h"
#include "ztunnel/core/tls/aead.h"

namespace mesh::tls {
namespace {

struct FreeContext {
  void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
};
using Context = std::unique_ptr<EVP_CIPHER_CTX, FreeContext>;

// Fetched once: the search by name costs more than a short record's encryption.
const EVP_CIPHER* CipherOf(Cipher cipher) {
  static const EVP_CIPHER* const fetched[] = {
      EVP_CIPHER_fetch(nullptr, "AES-128-GCM", nullptr),
      EVP_CIPHER_fetch(nullptr, "AES-256-GCM", nullptr),
      EVP_CIPHER_fetch(nullptr, "ChaCha20-Poly1305", nullptr)};
  return fetched[static_cast<size_t>(cipher)];
}

class EvpAead final : public Aead {
 public:
  explicit EvpAead(Context context) : context_(std::move(context)) {}

  bool Seal(Nonce nonce, Bytes header, Bytes text, uint8_t last, uint8_t* out) override {
    EVP_CIPHER_CTX* c = context_.get();
    int n = 0;
    uint8_t* const end = out + text.size() + 1;
    return EVP_EncryptInit_ex(c, nullptr, nullptr, nullptr, nonce.data()) == 1 &&
           EVP_EncryptUpdate(c, nullptr, &n, header.data(), Length(header)) == 1 &&
           EVP_EncryptUpdate(c, out, &n, text.data(), Length(text)) == 1 &&
           EVP_EncryptUpdate(c, out + text.size(), &n, &last, 1) == 1 &&
           EVP_EncryptFinal_ex(c, end, &n) == 1 &&
           EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, kTagBytes, end) == 1;
  }

  bool Open(Nonce nonce, Bytes header, Bytes sealed, uint8_t* out) override {
    EVP_CIPHER_CTX* c = context_.get();
    int n = 0;
    const Bytes text = sealed.first(sealed.size() - kTagBytes);
    auto* tag = const_cast<uint8_t*>(sealed.last(kTagBytes).data());
    return EVP_DecryptInit_ex(c, nullptr, nullptr, nullptr, nonce.data()) == 1 &&
           EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_TAG, kTagBytes, tag) == 1 &&
           EVP_DecryptUpdate(c, nullptr, &n, header.data(), Length(header)) == 1 &&
           EVP_DecryptUpdate(c, out, &n, text.data(), Length(text)) == 1 &&
           EVP_DecryptFinal_ex(c, out + text.size(), &n) == 1;
  }

 private:
  static int Length(Bytes bytes) { return static_cast<int>(bytes.size()); }

  Context context_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Aead>> MakeEvpAead(const CipherSuite& suite, const RecordKey& key,
                                                  bool sealing) {
  Context context(EVP_CIPHER_CTX_new());
  if (context == nullptr || EVP_CipherInit_ex(context.get(), CipherOf(suite.cipher), nullptr,
                                              key.key.data(), nullptr, sealing ? 1 : 0) != 1) {
    return Internal("a record cipher could not be made");
  }
  return std::make_unique<EvpAead>(std::move(context));
}

}  // namespace mesh::tls
