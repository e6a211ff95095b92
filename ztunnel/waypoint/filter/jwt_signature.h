// The signature algorithms of JSON Web Tokens (RFC 7518, 8037), by OpenSSL.
#pragma once

#include <optional>
#include <string_view>

typedef struct evp_pkey_st EVP_PKEY;

namespace mesh::filter {

struct Algorithm {
  std::string_view name;
  std::string_view key_type;  // as in a JWK
  std::string_view curve;     // of EC and OKP
  std::string_view digest;    // OpenSSL's name; of EdDSA: empty
  bool pss = false;
};
std::optional<Algorithm> FindAlgorithm(std::string_view name);

// Bytes of a coordinate; 0 when the curve is not known.
size_t EcBytes(std::string_view curve);

bool VerifyMac(const Algorithm& algorithm, std::string_view secret, std::string_view text,
               std::string_view mac);
bool VerifySignature(const Algorithm& algorithm, EVP_PKEY* key, std::string_view text,
                     std::string_view signature);

}  // namespace mesh::filter
