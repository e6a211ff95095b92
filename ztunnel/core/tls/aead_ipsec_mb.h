// AES-GCM by Intel's multi-buffer library; see aead.h. Linked only where the library is built in.
#pragma once

#include <memory>

#include "ztunnel/core/tls/aead.h"

namespace mesh::tls {

// Whether the CPU has what makes it the faster one: vector AES over 512 bits.
bool IpsecMbServes(Cipher cipher);
// Only when it serves.
std::unique_ptr<Aead> MakeIpsecMbAead(const CipherSuite& suite, const RecordKey& key);

}  // namespace mesh::tls
