// Records as a peer with bad manners would seal them: for tests and fuzzing.
#pragma once

#include <string>
#include <string_view>

#include "ztunnel/base/log.h"
#include "ztunnel/core/tls/record_layer.h"

namespace mesh::tls {

// Record number `sequence` under `secret`; `inner` is the content with its type byte and padding,
// not empty.
inline std::string SealedRecordForTest(const CipherSuite& suite,
                                       const identity::TrafficSecret& secret, uint64_t sequence,
                                       std::string_view inner) {
  RecordKey key;
  MESH_CHECK(DeriveKey(suite, secret, key).ok(), "a key for the test");
  for (size_t i = 0; i < 8; ++i) key.iv[11 - i] ^= static_cast<uint8_t>(sequence >> (8 * i));
  const size_t sealed = inner.size() + kTagBytes;
  std::string out(RecordLayer::kHeader + sealed, '\0');
  out[0] = static_cast<char>(ContentType::kApplicationData);
  out[1] = out[2] = 3;
  out[3] = static_cast<char>(sealed >> 8);
  out[4] = static_cast<char>(sealed);
  auto* raw = reinterpret_cast<uint8_t*>(out.data());
  const Aead::Bytes text(reinterpret_cast<const uint8_t*>(inner.data()), inner.size() - 1);
  auto aead = MakeAead(suite, key, true);
  MESH_CHECK(
      aead.ok() && (*aead)->Seal(key.iv, {raw, RecordLayer::kHeader}, text,
                                 static_cast<uint8_t>(inner.back()), raw + RecordLayer::kHeader),
      "a record for the test");
  return out;
}

inline identity::TrafficSecret SecretForTest(uint8_t fill) {
  identity::TrafficSecret secret;
  for (uint8_t& b : secret.Resize(32)) b = fill;
  return secret;
}

}  // namespace mesh::tls
