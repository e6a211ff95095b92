#include "ztunnel/waypoint/filter/jwt_token.h"

#include <google/protobuf/util/json_util.h>

#include <algorithm>

#include "ztunnel/waypoint/filter/jwt_signature.h"

namespace mesh::filter {
namespace {

using google::protobuf::Struct;
using google::protobuf::Value;

constexpr size_t kMaxToken = 16 << 10;
constexpr double kLeniencySeconds = 60;

std::optional<Struct> ParseObject(std::string_view base64) {
  const auto json = DecodeBase64Url(base64);
  Struct object;
  if (!json || !google::protobuf::util::JsonStringToMessage(*json, &object).ok())
    return std::nullopt;
  return object;
}

const Value* Find(const Struct& object, const char* name) {
  const auto found = object.fields().find(name);
  return found == object.fields().end() ? nullptr : &found->second;
}

// False when the claim is there and is no text.
bool ReadText(const Struct& object, const char* name, std::string& out) {
  const Value* value = Find(object, name);
  if (value == nullptr) return true;
  out = value->string_value();
  return value->has_string_value();
}

bool ReadTime(const Struct& object, const char* name, std::optional<double>& out) {
  const Value* value = Find(object, name);
  if (value == nullptr) return true;
  out = value->number_value();
  return value->has_number_value();
}

// A text, or a list of texts.
bool ReadAudiences(const Struct& object, std::vector<std::string>& out) {
  const Value* value = Find(object, "aud");
  if (value == nullptr) return true;
  if (value->has_string_value()) {
    out.push_back(value->string_value());
    return true;
  }
  for (const Value& one : value->list_value().values()) {
    if (!one.has_string_value()) return false;
    out.push_back(one.string_value());
  }
  return value->has_list_value();
}

// `out` refers to `text`.
bool ReadHeader(std::string_view base64, ParsedJwt& out) {
  const auto header = ParseObject(base64);
  // An extension that must be understood is none that is known here.
  return header && ReadText(*header, "alg", out.algorithm) &&
         ReadText(*header, "kid", out.key_id) && Find(*header, "crit") == nullptr;
}

bool ReadPayload(std::string_view base64, ParsedJwt& out) {
  auto payload = ParseObject(base64);
  if (!payload) return false;
  Token& token = out.token;
  const bool good =
      ReadText(*payload, "iss", token.issuer) && ReadText(*payload, "sub", token.subject) &&
      ReadText(*payload, "azp", token.presenter) && ReadAudiences(*payload, token.audiences) &&
      ReadTime(*payload, "exp", out.expires) && ReadTime(*payload, "nbf", out.not_before);
  token.claims = *std::move(payload);
  return good;
}

bool SharesAudience(const Token& token, std::span<const std::string> wanted) {
  return std::any_of(wanted.begin(), wanted.end(), [&token](const std::string& audience) {
    return std::find(token.audiences.begin(), token.audiences.end(), audience) !=
           token.audiences.end();
  });
}

}  // namespace

std::string_view JwtErrorText(JwtError error) {
  switch (error) {
    case JwtError::kNone:
      return "";
    case JwtError::kMalformed:
      return "Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections";
    case JwtError::kAlgorithm:
      return "Jwt header [alg] is not supported";
    case JwtError::kIssuer:
      return "Jwt issuer is not configured";
    case JwtError::kAudience:
      return "Audiences in Jwt are not allowed";
    case JwtError::kExpired:
      return "Jwt is expired";
    case JwtError::kNotYetValid:
      return "Jwt not yet valid";
    case JwtError::kNoKey:
      return "Jwks doesn't have key to match kid or alg from Jwt";
    case JwtError::kSignature:
      return "Jwt verification fails";
    case JwtError::kNoKeySet:
      return "Jwks remote fetch is failed";
  }
  return "";
}

std::optional<ParsedJwt> ParseJwt(std::string_view text) {
  if (text.size() > kMaxToken) return std::nullopt;
  const size_t first = text.find('.');
  const size_t second = first == text.npos ? text.npos : text.find('.', first + 1);
  if (second == text.npos || text.find('.', second + 1) != text.npos) return std::nullopt;
  ParsedJwt out;
  out.signed_text = text.substr(0, second);
  out.payload = text.substr(first + 1, second - first - 1);
  auto signature = DecodeBase64Url(text.substr(second + 1));
  if (!signature || signature->empty()) return std::nullopt;
  out.signature = *std::move(signature);
  if (!ReadHeader(text.substr(0, first), out) || !ReadPayload(out.payload, out))
    return std::nullopt;
  return out;
}

JwtError CheckJwt(const ParsedJwt& jwt, const JwtExpectations& expected, absl::Time now) {
  if (!expected.issuer.empty() && jwt.token.issuer != expected.issuer) return JwtError::kIssuer;
  const double seconds = absl::ToDoubleSeconds(now - absl::UnixEpoch());
  if (jwt.not_before && seconds + kLeniencySeconds < *jwt.not_before) return JwtError::kNotYetValid;
  if (jwt.expires && !(seconds - kLeniencySeconds < *jwt.expires)) return JwtError::kExpired;
  if (!expected.audiences.empty() && !SharesAudience(jwt.token, expected.audiences))
    return JwtError::kAudience;
  if (expected.keys == nullptr) return JwtError::kNoKeySet;
  switch (expected.keys->Verify(jwt.algorithm, jwt.key_id, jwt.signed_text, jwt.signature)) {
    case KeySet::Result::kGood:
      return JwtError::kNone;
    case KeySet::Result::kBad:
      return JwtError::kSignature;
    case KeySet::Result::kNoKey:
      return FindAlgorithm(jwt.algorithm) ? JwtError::kNoKey : JwtError::kAlgorithm;
  }
  return JwtError::kSignature;
}

}  // namespace mesh::filter
