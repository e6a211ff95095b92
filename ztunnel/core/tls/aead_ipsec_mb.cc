// Built where Intel's multi-buffer library is found (amd64).
#define NO_COMPAT_IMB_API_053  // its old names are also OpenSSL's
#include <intel-ipsec-mb.h>
#include <openssl/crypto.h>

#include <utility>

#include "ztunnel/core/tls/aead_ipsec_mb.h"

namespace mesh::tls {
namespace {

// The library's table of functions for this CPU; only read once made.
const IMB_MGR* Manager() {
  static const IMB_MGR* const manager = []() -> const IMB_MGR* {
    IMB_MGR* m = alloc_mb_mgr(0);
    if (m == nullptr) return nullptr;
    init_mb_mgr_auto(m, nullptr);
    constexpr uint64_t kNeeded = IMB_FEATURE_AVX512_SKX | IMB_FEATURE_VAES | IMB_FEATURE_VPCLMULQDQ;
    const bool good = imb_get_errno(m) == 0 && (m->features & kNeeded) == kNeeded;
    if (good) return m;
    free_mb_mgr(m);
    return nullptr;
  }();
  return manager;
}

// The functions of one key length.
struct Functions {
  decltype(IMB_MGR::gcm128_pre) precompute;
  decltype(IMB_MGR::gcm128_init) init;
  decltype(IMB_MGR::gcm128_enc_update) seal;
  decltype(IMB_MGR::gcm128_enc_finalize) seal_end;
  decltype(IMB_MGR::gcm128_dec_update) open;
  decltype(IMB_MGR::gcm128_dec_finalize) open_end;
};

Functions FunctionsOf(const IMB_MGR& m, Cipher cipher) {
  if (cipher == Cipher::kAes128Gcm) {
    return {m.gcm128_pre,          m.gcm128_init,       m.gcm128_enc_update,
            m.gcm128_enc_finalize, m.gcm128_dec_update, m.gcm128_dec_finalize};
  }
  return {m.gcm256_pre,          m.gcm256_init,       m.gcm256_enc_update,
          m.gcm256_enc_finalize, m.gcm256_dec_update, m.gcm256_dec_finalize};
}

class IpsecMbAead final : public Aead {
 public:
  IpsecMbAead(Functions functions, const RecordKey& key) : f_(functions) {
    f_.precompute(key.key.data(), &key_);
  }
  ~IpsecMbAead() override {
    OPENSSL_cleanse(&key_, sizeof key_);
    OPENSSL_cleanse(&state_, sizeof state_);
  }

  bool Seal(Nonce nonce, Bytes header, Bytes text, uint8_t last, uint8_t* out) override {
    f_.init(&key_, &state_, nonce.data(), header.data(), header.size());
    f_.seal(&key_, &state_, out, text.data(), text.size());
    f_.seal(&key_, &state_, out + text.size(), &last, 1);
    f_.seal_end(&key_, &state_, out + text.size() + 1, kTagBytes);
    return true;
  }

  bool Open(Nonce nonce, Bytes header, Bytes sealed, uint8_t* out) override {
    const Bytes text = sealed.first(sealed.size() - kTagBytes);
    uint8_t tag[kTagBytes];
    f_.init(&key_, &state_, nonce.data(), header.data(), header.size());
    f_.open(&key_, &state_, out, text.data(), text.size());
    f_.open_end(&key_, &state_, tag, kTagBytes);
    return CRYPTO_memcmp(tag, sealed.last(kTagBytes).data(), kTagBytes) == 0;
  }

 private:
  const Functions f_;
  alignas(64) gcm_key_data key_;  // loaded by aligned moves
  alignas(64) gcm_context_data state_;
};

}  // namespace

bool IpsecMbServes(Cipher cipher) {
  return cipher != Cipher::kChaCha20Poly1305 && Manager() != nullptr;
}

std::unique_ptr<Aead> MakeIpsecMbAead(const CipherSuite& suite, const RecordKey& key) {
  return std::make_unique<IpsecMbAead>(FunctionsOf(*Manager(), suite.cipher), key);
}

}  // namespace mesh::tls
