#include "ztunnel/waypoint/filter/jwt_keys.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <string.h>

#include "ztunnel/waypoint/filter/jwt_signature.h"

namespace mesh::filter {
namespace {

using Result = KeySet::Result;
using Pkey = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;

KeySet SetOf(const std::string& keys) {
  auto set = KeySet::Parse("{\"keys\":[" + keys + "]}");
  EXPECT_TRUE(set.ok()) << set.status();
  return *std::move(set);
}

Result Verify(const KeySet& set, std::string_view algorithm, std::string_view text,
              std::string_view base64_signature, std::string_view kid = "") {
  return set.Verify(algorithm, kid, text, *DecodeBase64Url(base64_signature));
}

// RFC 7515, appendix A.1 and A.3; RFC 8037, appendix A.4.
constexpr char kPayload[] =
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlf"
    "Q";
constexpr char kOct[] =
    R"({"kty":"oct","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"})";
constexpr char kEc[] =
    R"({"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"})";
constexpr char kEd[] =
    R"({"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"})";

TEST(KeySet, VerifiesTheExamplesOfTheStandards) {
  const std::string hs = std::string("eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.") + kPayload;
  constexpr char kMac[] = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
  EXPECT_EQ(Verify(SetOf(kOct), "HS256", hs, kMac), Result::kGood);
  EXPECT_EQ(Verify(SetOf(kOct), "HS256", hs + "x", kMac), Result::kBad);
  EXPECT_EQ(Verify(SetOf(kOct), "HS384", hs, kMac), Result::kBad);
  const std::string es = std::string("eyJhbGciOiJFUzI1NiJ9.") + kPayload;
  constexpr char kEcSignature[] =
      "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
  EXPECT_EQ(Verify(SetOf(kEc), "ES256", es, kEcSignature), Result::kGood);
  EXPECT_EQ(Verify(SetOf(kEc), "ES256", hs, kEcSignature), Result::kBad);
  EXPECT_EQ(Verify(SetOf(kEc), "ES384", es, kEcSignature), Result::kNoKey);
  const std::string ed = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
  constexpr char kEdSignature[] =
      "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
  EXPECT_EQ(Verify(SetOf(kEd), "EdDSA", ed, kEdSignature), Result::kGood);
  EXPECT_EQ(Verify(SetOf(kEd), "EdDSA", es, kEdSignature), Result::kBad);
}

TEST(KeySet, AKeyServesItsOwnAlgorithmsOnly) {
  const KeySet all = SetOf(std::string(kOct) + "," + kEc + "," + kEd);
  EXPECT_EQ(all.size(), 3u);
  for (const char* algorithm : {"none", "", "RS256", "ES512", "HS1", "hs256"})
    EXPECT_EQ(Verify(all, algorithm, "text", "YQ"), Result::kNoKey) << algorithm;
  // A public key's text is no secret to sign with.
  EXPECT_EQ(Verify(SetOf(kEc), "HS256", "text", "YQ"), Result::kNoKey);
  const KeySet bound = SetOf(R"({"kty":"oct","alg":"HS512","kid":"one","k":"YWJj"})");
  EXPECT_EQ(Verify(bound, "HS256", "text", "YQ"), Result::kNoKey);
  EXPECT_EQ(Verify(bound, "HS512", "text", "YQ", "two"), Result::kNoKey);
  EXPECT_EQ(Verify(bound, "HS512", "text", "YQ", "one"), Result::kBad);
  EXPECT_EQ(Verify(bound, "HS512", "text", "YQ"), Result::kBad);
}

std::string Number(EVP_PKEY* key, const char* name, size_t size = 0) {
  BIGNUM* number = nullptr;
  EXPECT_EQ(EVP_PKEY_get_bn_param(key, name, &number), 1) << name;
  std::string out(size == 0 ? static_cast<size_t>(BN_num_bytes(number)) : size, '\0');
  BN_bn2binpad(number, reinterpret_cast<unsigned char*>(out.data()), static_cast<int>(out.size()));
  BN_free(number);
  return EncodeBase64Url(out);
}

std::string Sign(EVP_PKEY* key, const EVP_MD* digest, bool pss, std::string_view text) {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  EVP_PKEY_CTX* parameters = nullptr;
  EXPECT_EQ(EVP_DigestSignInit(context, &parameters, digest, nullptr, key), 1);
  if (pss) {
    EVP_PKEY_CTX_set_rsa_padding(parameters, RSA_PKCS1_PSS_PADDING);
    EVP_PKEY_CTX_set_rsa_pss_saltlen(parameters, RSA_PSS_SALTLEN_DIGEST);
  }
  std::string out(1024, '\0');
  size_t size = out.size();
  EXPECT_EQ(EVP_DigestSign(context, reinterpret_cast<unsigned char*>(out.data()), &size,
                           reinterpret_cast<const unsigned char*>(text.data()), text.size()),
            1);
  out.resize(size);
  EVP_MD_CTX_free(context);
  return out;
}

TEST(KeySet, VerifiesRsaOfBothPaddings) {
  const Pkey key(EVP_RSA_gen(2048), EVP_PKEY_free);
  const KeySet set = SetOf(fmt::format(R"({{"kty":"RSA","use":"sig","n":"{}","e":"{}"}})",
                                       Number(key.get(), OSSL_PKEY_PARAM_RSA_N),
                                       Number(key.get(), OSSL_PKEY_PARAM_RSA_E)));
  const std::pair<const char*, const EVP_MD*> digests[] = {
      {"256", EVP_sha256()}, {"384", EVP_sha384()}, {"512", EVP_sha512()}};
  for (const auto& [bits, digest] : digests) {
    for (const bool pss : {false, true}) {
      const std::string name = std::string(pss ? "PS" : "RS") + bits;
      const std::string other = std::string(pss ? "RS" : "PS") + bits;
      const std::string signature = Sign(key.get(), digest, pss, "text");
      EXPECT_EQ(set.Verify(name, "", "text", signature), Result::kGood) << name;
      EXPECT_EQ(set.Verify(name, "", "texT", signature), Result::kBad) << name;
      EXPECT_EQ(set.Verify(other, "", "text", signature), Result::kBad) << name;
    }
  }
}

TEST(KeySet, VerifiesTheLongerCurves) {
  const struct {
    const char *curve, *algorithm;
    const EVP_MD* digest;
  } cases[] = {{"P-384", "ES384", EVP_sha384()}, {"P-521", "ES512", EVP_sha512()}};
  for (const auto& c : cases) {
    const Pkey key(EVP_EC_gen(c.curve), EVP_PKEY_free);
    const size_t size = EcBytes(c.curve);
    const KeySet set = SetOf(fmt::format(R"({{"kty":"EC","crv":"{}","x":"{}","y":"{}"}})", c.curve,
                                         Number(key.get(), OSSL_PKEY_PARAM_EC_PUB_X, size),
                                         Number(key.get(), OSSL_PKEY_PARAM_EC_PUB_Y, size)));
    const std::string der = Sign(key.get(), c.digest, false, "text");
    auto* at = reinterpret_cast<const unsigned char*>(der.data());
    ECDSA_SIG* pair = d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(der.size()));
    ASSERT_NE(pair, nullptr);
    std::string raw(2 * size, '\0');
    auto* bytes = reinterpret_cast<unsigned char*>(raw.data());
    BN_bn2binpad(ECDSA_SIG_get0_r(pair), bytes, static_cast<int>(size));
    BN_bn2binpad(ECDSA_SIG_get0_s(pair), bytes + size, static_cast<int>(size));
    ECDSA_SIG_free(pair);
    EXPECT_EQ(set.Verify(c.algorithm, "", "text", raw), Result::kGood) << c.algorithm;
    EXPECT_EQ(set.Verify(c.algorithm, "", "text", der), Result::kBad) << c.algorithm;
    raw[3] = static_cast<char>(raw[3] ^ 1);
    EXPECT_EQ(set.Verify(c.algorithm, "", "text", raw), Result::kBad) << c.algorithm;
  }
}

TEST(KeySet, RefusesSetsWithoutAGoodKey) {
  for (
      const char* text :
      {"", "x", "[]", "{}", R"({"keys":{}})", R"({"keys":[]})", R"({"keys":[{}]})",
       R"({"keys":[{"kty":"oct","k":"!"}]})", R"({"keys":[{"kty":"oct","use":"enc","k":"YWJj"}]})",
       R"({"keys":[{"kty":"RSA","n":"YWJj","e":"AQAB"}]})",
       R"({"keys":[{"kty":"EC","crv":"P-256","x":"YQ","y":"YQ"}]})",
       R"({"keys":[{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"}]})",
       R"({"keys":[{"kty":"OKP","crv":"X25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]})"})
    EXPECT_FALSE(KeySet::Parse(text).ok()) << text;
  EXPECT_EQ(SetOf(std::string("{\"kty\":\"new\"},") + kOct).size(), 1u);
}

TEST(Base64Url, IsStrict) {
  for (const char* text : {"", "a", "ab", "abc", "abcd", "\xff\xfe\xfd"})
    EXPECT_EQ(DecodeBase64Url(EncodeBase64Url(text)), text);
  EXPECT_EQ(EncodeBase64Url("\xff\xfe\xfd"), "__79");
  for (const char* bad : {"a", "YQ=", "YQ==", "Y Q", "YR", "YWJ+", "YWJ/", "YWJjZ"})
    EXPECT_EQ(DecodeBase64Url(bad), std::nullopt) << bad;
}

}  // namespace
}  // namespace mesh::filter
