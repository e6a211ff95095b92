#include "ztunnel/waypoint/filter/jwt_keys.h"

#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/json_util.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>

#include <algorithm>

#include "ztunnel/base/status.h"
#include "ztunnel/waypoint/filter/jwt_signature.h"

namespace mesh::filter {
namespace {

using google::protobuf::Struct;

constexpr size_t kMaxSet = 1 << 20;
constexpr int kMaxKeys = 256;
constexpr int kMinRsaBits = 2048, kMaxRsaBits = 16'384;

std::string TextOf(const Struct& object, const char* name) {
  const auto found = object.fields().find(name);
  return found == object.fields().end() ? "" : found->second.string_value();
}

std::string BytesOf(const Struct& object, const char* name) {
  return DecodeBase64Url(TextOf(object, name)).value_or("");
}

std::shared_ptr<EVP_PKEY> Own(EVP_PKEY* key) {
  return std::shared_ptr<EVP_PKEY>(key, [](EVP_PKEY* k) { EVP_PKEY_free(k); });
}

std::shared_ptr<EVP_PKEY> FromParams(const char* type, OSSL_PARAM_BLD* builder) {
  std::unique_ptr<OSSL_PARAM, decltype(&OSSL_PARAM_free)> params(OSSL_PARAM_BLD_to_param(builder),
                                                                 OSSL_PARAM_free);
  std::unique_ptr<EVP_PKEY_CTX, decltype(&EVP_PKEY_CTX_free)> context(
      EVP_PKEY_CTX_new_from_name(nullptr, type, nullptr), EVP_PKEY_CTX_free);
  EVP_PKEY* key = nullptr;
  if (!params || !context || EVP_PKEY_fromdata_init(context.get()) <= 0 ||
      EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_PUBLIC_KEY, params.get()) <= 0)
    return nullptr;
  return Own(key);
}

using Builder = std::unique_ptr<OSSL_PARAM_BLD, decltype(&OSSL_PARAM_BLD_free)>;
Builder MakeBuilder() { return Builder(OSSL_PARAM_BLD_new(), OSSL_PARAM_BLD_free); }

std::shared_ptr<EVP_PKEY> RsaKey(const Struct& jwk) {
  const auto number = [](const std::string& bytes) {
    return std::unique_ptr<BIGNUM, decltype(&BN_free)>(
        BN_bin2bn(reinterpret_cast<const unsigned char*>(bytes.data()),
                  static_cast<int>(bytes.size()), nullptr),
        BN_free);
  };
  const auto modulus = number(BytesOf(jwk, "n")), exponent = number(BytesOf(jwk, "e"));
  if (!modulus || !exponent || BN_num_bits(modulus.get()) < kMinRsaBits ||
      BN_num_bits(modulus.get()) > kMaxRsaBits || !BN_is_odd(exponent.get()) ||
      BN_num_bits(exponent.get()) < 2 || BN_num_bits(exponent.get()) > 64)
    return nullptr;
  const Builder builder = MakeBuilder();
  OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_N, modulus.get());
  OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_E, exponent.get());
  return FromParams("RSA", builder.get());
}

std::shared_ptr<EVP_PKEY> EcKey(const Struct& jwk, const std::string& curve) {
  const size_t size = EcBytes(curve);
  const std::string x = BytesOf(jwk, "x"), y = BytesOf(jwk, "y");
  if (size == 0 || x.size() != size || y.size() != size) return nullptr;
  const std::string point = "\x04" + x + y;  // uncompressed; OpenSSL checks that it is on the curve
  const Builder builder = MakeBuilder();
  OSSL_PARAM_BLD_push_utf8_string(builder.get(), OSSL_PKEY_PARAM_GROUP_NAME, curve.c_str(), 0);
  OSSL_PARAM_BLD_push_octet_string(builder.get(), OSSL_PKEY_PARAM_PUB_KEY, point.data(),
                                   point.size());
  return FromParams("EC", builder.get());
}

std::shared_ptr<EVP_PKEY> EdKey(const Struct& jwk, const std::string& curve) {
  const std::string x = BytesOf(jwk, "x");
  if (curve != "Ed25519" || x.size() != 32) return nullptr;
  EVP_PKEY* key = EVP_PKEY_new_raw_public_key(
      EVP_PKEY_ED25519, nullptr, reinterpret_cast<const unsigned char*>(x.data()), x.size());
  return key == nullptr ? nullptr : Own(key);
}

int Base64Value(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  if (c == '-') return 62;
  return c == '_' ? 63 : -1;
}

}  // namespace

std::optional<std::string> DecodeBase64Url(std::string_view text) {
  std::string out;
  out.reserve(text.size() * 3 / 4);
  uint32_t bits = 0;
  int count = 0;
  for (const char c : text) {
    const int value = Base64Value(c);
    if (value < 0) return std::nullopt;
    bits = (bits << 6 | static_cast<uint32_t>(value)) & 0xffffff;
    count += 6;
    if (count < 8) continue;
    count -= 8;
    out += static_cast<char>(bits >> count);
  }
  if (count >= 6 || (bits & ((1u << count) - 1)) != 0) return std::nullopt;
  return out;
}

std::string EncodeBase64Url(std::string_view bytes) {
  constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  std::string out;
  uint32_t bits = 0;
  int count = 0;
  for (const char c : bytes) {
    bits = (bits << 8 | static_cast<unsigned char>(c)) & 0xffff;
    for (count += 8; count >= 6; count -= 6) out += kDigits[bits >> (count - 6) & 63];
  }
  if (count > 0) out += kDigits[bits << (6 - count) & 63];
  return out;
}

struct KeyReader {
  static std::optional<KeySet::Key> Read(const Struct& jwk) {
    KeySet::Key key;
    key.id = TextOf(jwk, "kid");
    key.algorithm = TextOf(jwk, "alg");
    key.type = TextOf(jwk, "kty");
    key.curve = TextOf(jwk, "crv");
    const std::string use = TextOf(jwk, "use");
    if (!use.empty() && use != "sig") return std::nullopt;
    if (key.type == "oct") {
      key.secret = BytesOf(jwk, "k");
      return key.secret.empty() ? std::nullopt : std::optional(std::move(key));
    }
    if (key.type == "RSA") key.public_key = RsaKey(jwk);
    if (key.type == "EC") key.public_key = EcKey(jwk, key.curve);
    if (key.type == "OKP") key.public_key = EdKey(jwk, key.curve);
    return key.public_key == nullptr ? std::nullopt : std::optional(std::move(key));
  }
};

absl::StatusOr<KeySet> KeySet::Parse(std::string_view jwks) {
  if (jwks.size() > kMaxSet) return Invalid("a key set of {} bytes", jwks.size());
  Struct set;
  const auto parsed = google::protobuf::util::JsonStringToMessage(
      google::protobuf::StringPiece(jwks.data(), jwks.size()), &set);
  if (!parsed.ok()) return Invalid("the key set is no JSON object");
  const auto keys = set.fields().find("keys");
  if (keys == set.fields().end() || !keys->second.has_list_value())
    return Invalid("the key set has no list \"keys\"");
  if (keys->second.list_value().values_size() > kMaxKeys)
    return Invalid("a key set of {} keys", keys->second.list_value().values_size());
  KeySet out;
  for (const auto& value : keys->second.list_value().values()) {
    if (auto key = KeyReader::Read(value.struct_value())) out.keys_.push_back(*std::move(key));
  }
  if (out.keys_.empty()) return Invalid("the key set holds no key that can be used");
  return out;
}

KeySet::Result KeySet::Verify(std::string_view algorithm, std::string_view kid,
                              std::string_view signed_text, std::string_view signature) const {
  const std::optional<Algorithm> known = FindAlgorithm(algorithm);
  if (!known) return Result::kNoKey;
  bool tried = false;
  for (const Key& key : keys_) {
    if (!kid.empty() && !key.id.empty() && key.id != kid) continue;
    if (!key.algorithm.empty() && key.algorithm != algorithm) continue;
    // What a public key is for decides its type, never the token alone: an RSA key is no HMAC
    // secret.
    if (key.type != known->key_type || (!known->curve.empty() && key.curve != known->curve))
      continue;
    tried = true;
    const bool good = key.type == "oct"
                          ? VerifyMac(*known, key.secret, signed_text, signature)
                          : VerifySignature(*known, key.public_key.get(), signed_text, signature);
    if (good) return Result::kGood;
  }
  return tried ? Result::kBad : Result::kNoKey;
}

}  // namespace mesh::filter
