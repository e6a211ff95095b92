#include "agent/controller/ca/token.h"

#include <absl/strings/escaping.h>

#include "agent/k8s/json.h"
#include "ztunnel/base/status.h"

namespace mesh::controller {
namespace {

using k8s::Json;

constexpr size_t kMaxToken = 16384;
constexpr absl::Duration kLeeway = absl::Seconds(10);  // clocks of nodes differ

absl::StatusOr<std::string> Decode64(std::string_view text) {
  std::string bytes;
  if (!absl::WebSafeBase64Unescape(absl::string_view(text.data(), text.size()), &bytes)) {
    return Unauthenticated("token: not base64url");
  }
  return bytes;
}

absl::StatusOr<Json> ParseJson(std::string_view text) {
  absl::StatusOr<Json> json = k8s::FromText(text);
  if (!json.ok()) return Unauthenticated("token: {}", std::string(MessageOf(json.status())));
  return json;
}

bool HasAudience(const Json& payload, std::string_view wanted) {
  const Json* audience = k8s::Member(payload, "aud");
  if (audience == nullptr) return false;
  if (audience->string_value() == wanted) return true;
  for (const Json& one : audience->list_value().values()) {
    if (one.string_value() == wanted) return true;
  }
  return false;
}

const Json& At(const Json& json, std::string_view name) {
  static const Json kNone;
  const Json* member = k8s::Member(json, name);
  return member != nullptr ? *member : kNone;
}

}  // namespace

absl::StatusOr<JwtReviewer> JwtReviewer::Create(std::string_view public_key_pem) {
  const BioPtr bio = ReadBio(public_key_pem);
  KeyPtr key(PEM_read_bio_PUBKEY(bio.get(), nullptr, nullptr, nullptr));
  if (key == nullptr) return Invalid("no PEM public key: {}", OpensslError());
  if (EVP_PKEY_get_base_id(key.get()) != EVP_PKEY_EC || EVP_PKEY_get_bits(key.get()) != 256) {
    return Invalid("the token key must be ECDSA P-256");
  }
  return JwtReviewer(std::move(key));
}

absl::Status JwtReviewer::CheckSignature(std::string_view signed_part,
                                         std::string_view signature) const {
  if (signature.size() != 64)
    return Unauthenticated("token: signature of {} bytes", signature.size());
  const auto* bytes = reinterpret_cast<const unsigned char*>(signature.data());
  ECDSA_SIG* pair = ECDSA_SIG_new();
  ECDSA_SIG_set0(pair, BN_bin2bn(bytes, 32, nullptr), BN_bin2bn(bytes + 32, 32, nullptr));
  unsigned char* der = nullptr;
  const int size = i2d_ECDSA_SIG(pair, &der);
  ECDSA_SIG_free(pair);
  const DigestPtr context(EVP_MD_CTX_new());
  const bool good =
      size > 0 &&
      EVP_DigestVerifyInit(context.get(), nullptr, EVP_sha256(), nullptr, key_.get()) == 1 &&
      EVP_DigestVerify(context.get(), der, static_cast<size_t>(size),
                       reinterpret_cast<const unsigned char*>(signed_part.data()),
                       signed_part.size()) == 1;
  OPENSSL_free(der);
  ERR_clear_error();
  if (!good) return Unauthenticated("token: the signature does not fit the key");
  return absl::OkStatus();
}

absl::StatusOr<Caller> JwtReviewer::Review(std::string_view token, absl::Time now) const {
  if (token.size() > kMaxToken) return Unauthenticated("token: {} bytes", token.size());
  const size_t first = token.find('.');
  const size_t second = first == std::string_view::npos ? first : token.find('.', first + 1);
  if (second == std::string_view::npos || token.find('.', second + 1) != std::string_view::npos) {
    return Unauthenticated("token: not three parts");
  }
  ASSIGN_OR_RETURN(const std::string header_text, Decode64(token.substr(0, first)));
  ASSIGN_OR_RETURN(const Json header, ParseJson(header_text));
  if (k8s::StringMember(header, "alg") != "ES256") {
    return Unauthenticated("token: algorithm is not ES256");
  }
  ASSIGN_OR_RETURN(const std::string signature, Decode64(token.substr(second + 1)));
  RETURN_IF_ERROR(CheckSignature(token.substr(0, second), signature));
  ASSIGN_OR_RETURN(const std::string payload,
                   Decode64(token.substr(first + 1, second - first - 1)));
  return ReadClaims(payload, now);
}

absl::StatusOr<Caller> ReadClaims(std::string_view text, absl::Time now) {
  ASSIGN_OR_RETURN(const Json payload, ParseJson(text));
  if (k8s::StringMember(payload, "iss") != "kubernetes/serviceaccount") {
    return Unauthenticated("token: issuer \"{}\"", k8s::StringMember(payload, "iss"));
  }
  if (!HasAudience(payload, "istio-ca")) return Unauthenticated("token: not for audience istio-ca");
  const absl::Time expiry = absl::UnixEpoch() + absl::Seconds(At(payload, "exp").number_value());
  if (now > expiry + kLeeway) {
    return Unauthenticated("token: ended {}", absl::FormatTime(expiry, absl::UTCTimeZone()));
  }
  if (const double not_before = At(payload, "nbf").number_value();
      now + kLeeway < absl::UnixEpoch() + absl::Seconds(not_before)) {
    return Unauthenticated("token: not valid yet");
  }
  const Json& bound = At(payload, "kubernetes.io");
  Caller caller{.ns = k8s::StringMember(bound, "namespace"),
                .service_account = k8s::StringMember(At(bound, "serviceaccount"), "name"),
                .pod_name = k8s::StringMember(At(bound, "pod"), "name"),
                .pod_uid = k8s::StringMember(At(bound, "pod"), "uid"),
                .node = k8s::StringMember(At(bound, "node"), "name")};
  if (caller.ns.empty() || caller.service_account.empty()) {
    return Unauthenticated("token: names no service account");
  }
  const std::string subject = "system:serviceaccount:" + caller.ns + ":" + caller.service_account;
  if (k8s::StringMember(payload, "sub") != subject) {
    return Unauthenticated("token: subject is not {}", subject);
  }
  return caller;
}

}  // namespace mesh::controller
