#include "ztunnel/waypoint/filter/jwt.h"

#include <fmt/format.h>
#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <cmath>

#include "ztunnel/waypoint/filter/jwt_places.h"

namespace mesh::filter {
namespace {

using google::protobuf::Struct;
using google::protobuf::Value;

// What a rule makes of the tokens in its places.
struct RuleResult {
  JwtError error = JwtError::kNone;
  std::optional<Token> token;
  std::string payload;
};

RuleResult CheckAll(const JwtRule& rule, const std::vector<std::string>& tokens, absl::Time now) {
  RuleResult out;
  if (tokens.size() > kMaxTokens) return {JwtError::kMalformed, std::nullopt, {}};
  const JwtExpectations expected{rule.issuer, rule.audiences, rule.keys ? &*rule.keys : nullptr};
  for (const std::string& text : tokens) {
    auto jwt = ParseJwt(text);
    const JwtError error = jwt ? CheckJwt(*jwt, expected, now) : JwtError::kMalformed;
    if (error != JwtError::kNone) return {error, std::nullopt, {}};
    if (out.token) continue;
    out.payload = jwt->payload;
    out.token = std::move(jwt->token);
  }
  return out;
}

// What says most about why it failed: the issuer's own rule says more than the others'.
int Weight(JwtError error) { return error == JwtError::kIssuer ? 0 : 1; }

const Value* FindClaim(const Struct& claims, const std::vector<std::string>& way) {
  const Struct* level = &claims;
  const Value* value = nullptr;
  for (const std::string& name : way) {
    if (level == nullptr) return nullptr;
    const auto found = level->fields().find(name);
    if (found == level->fields().end()) return nullptr;
    value = &found->second;
    level = value->has_struct_value() ? &value->struct_value() : nullptr;
  }
  return value;
}

std::string ClaimText(const Value& value) {
  if (value.has_string_value()) return value.string_value();
  if (value.has_bool_value()) return value.bool_value() ? "true" : "false";
  const double number = value.number_value();
  if (value.has_number_value() && std::trunc(number) == number && std::abs(number) < 9e15)
    return fmt::format("{}", static_cast<int64_t>(number));
  std::string json;
  if (!google::protobuf::util::MessageToJsonString(value, &json).ok()) return {};
  return EncodeBase64Url(json);
}

void SplitClaims(const JwtRule& rule, Struct& claims) {
  for (const std::string& name : rule.space_delimited_claims) {
    const auto found = claims.mutable_fields()->find(name);
    if (found == claims.mutable_fields()->end() || !found->second.has_string_value()) continue;
    const std::string text = found->second.string_value();
    auto& list = *found->second.mutable_list_value();
    for (size_t at = 0; at < text.size();) {
      const size_t end = std::min(text.find(' ', at), text.size());
      if (end > at) list.add_values()->set_string_value(text.substr(at, end - at));
      at = end + 1;
    }
  }
}

// Whatever the client sent under the names that rules write is gone before any is written.
void DropOutputs(const JwtRules& rules, http::HeaderMap& headers) {
  for (const JwtRule& rule : rules.rules()) {
    if (!rule.payload_header.empty()) headers.Remove(rule.payload_header);
    for (const JwtRule::ClaimHeader& output : rule.claim_headers) headers.Remove(output.header);
  }
}

void WriteOutputs(const JwtRule& rule, const RuleResult& result, http::RequestHead& head) {
  if (!rule.forward_token) RemoveTokens(rule, head);
  if (!rule.payload_header.empty()) head.headers.Set(rule.payload_header, result.payload);
  for (const JwtRule::ClaimHeader& output : rule.claim_headers) {
    const Value* value = FindClaim(result.token->claims, output.claim);
    const std::string text = value == nullptr ? "" : ClaimText(*value);
    if (!text.empty() && http::IsFieldValue(text)) head.headers.Set(output.header, text);
  }
}

JwtVerdict Refuse(JwtError error, const http::RequestHead& head) {
  JwtVerdict out;
  out.accepted = false;
  out.status = error == JwtError::kAudience ? 403 : 401;
  out.reason = JwtErrorText(error);
  std::string realm;
  for (const char c :
       head.scheme + "://" + head.authority + head.path.substr(0, head.path.find('?')))
    if (c != '"' && c != '\\') realm += c;
  out.challenge = fmt::format("Bearer realm=\"{}\", error=\"invalid_token\"", realm);
  return out;
}

}  // namespace

JwtVerdict Authenticate(const JwtRules& rules, http::RequestHead& head, absl::Time now) {
  JwtError error = JwtError::kNone;
  for (const JwtRule& rule : rules.rules()) {
    const std::vector<std::string> tokens = TokensOf(rule, head);
    if (tokens.empty()) continue;
    RuleResult result = CheckAll(rule, tokens, now);
    if (result.error != JwtError::kNone) {
      if (error == JwtError::kNone || Weight(result.error) > Weight(error)) error = result.error;
      continue;
    }
    DropOutputs(rules, head.headers);
    WriteOutputs(rule, result, head);
    JwtVerdict out;
    out.token = std::move(result.token);
    SplitClaims(rule, out.token->claims);
    return out;
  }
  if (error != JwtError::kNone) return Refuse(error, head);
  DropOutputs(rules, head.headers);
  return {};
}

}  // namespace mesh::filter
