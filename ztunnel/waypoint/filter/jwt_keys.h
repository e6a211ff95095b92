// Keys of a JSON Web Key Set (RFC 7517, 7518, 8037) and signatures made with them. Immutable.
#pragma once

#include <absl/status/statusor.h>

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

typedef struct evp_pkey_st EVP_PKEY;

namespace mesh::filter {

// Strict: no padding, no other characters, no bits left over.
std::optional<std::string> DecodeBase64Url(std::string_view text);
std::string EncodeBase64Url(std::string_view bytes);

class KeySet {
 public:
  // Keys of a kind that is not known here, or broken ones, are left out; a set without any key that
  // can be used is refused.
  static absl::StatusOr<KeySet> Parse(std::string_view jwks);

  enum class Result { kGood, kBad, kNoKey };
  // `kid` empty: every key that fits the algorithm is tried.
  Result Verify(std::string_view algorithm, std::string_view kid, std::string_view signed_text,
                std::string_view signature) const;
  size_t size() const { return keys_.size(); }

 private:
  struct Key {
    std::string id, algorithm;  // empty: any that fits
    std::string type;           // RSA, EC, OKP, oct
    std::string curve;
    std::shared_ptr<EVP_PKEY> public_key;
    std::string secret;  // of oct
  };
  friend struct KeyReader;
  std::vector<Key> keys_;
};

}  // namespace mesh::filter
