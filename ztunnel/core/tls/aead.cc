#include "ztunnel/core/tls/aead.h"

#ifdef MESH_IPSEC_MB
#include "ztunnel/core/tls/aead_ipsec_mb.h"
#endif

namespace mesh::tls {

absl::StatusOr<std::unique_ptr<Aead>> MakeAead(const CipherSuite& suite, const RecordKey& key,
                                               bool sealing) {
#ifdef MESH_IPSEC_MB
  if (IpsecMbServes(suite.cipher)) return MakeIpsecMbAead(suite, key);
#endif
  return MakeEvpAead(suite, key, sealing);
}

std::string_view AesGcmProvider() {
#ifdef MESH_IPSEC_MB
  if (IpsecMbServes(Cipher::kAes128Gcm)) return "ipsec-mb";
#endif
  return "openssl";
}

}  // namespace mesh::tls
