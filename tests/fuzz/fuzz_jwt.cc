// Tokens and key sets from strangers: read or refused, and no token is believed without its key.
// The first byte picks: a token's text in a request, or a key set.
#include <cstdint>
#include <string>

#include "proto/l7_policy.pb.h"
#include "ztunnel/waypoint/filter/jwt.h"

namespace {

using namespace mesh;

void FuzzToken(const std::string& text) {
  l7::v1::Authentication proto;
  auto& issuer = *proto.add_issuers();
  issuer.set_jwks(R"({"keys":[{"kty":"oct","k":"bm90IGtub3duIHRvIHRoZSBmdXp6ZXIgYXQgYWxs"}]})");
  issuer.set_payload_header("x-payload");
  issuer.add_parameters("t");
  issuer.add_cookies("t");
  issuer.add_headers()->set_name("t");
  const l7::v1::Authentication* all[] = {&proto};
  const auto rules = filter::JwtRules::Compile(all);
  if (!rules.ok()) __builtin_trap();
  for (int place = 0; place < 3; ++place) {
    http::RequestHead head;
    head.path = place == 0 ? "/?a=1&t=" + text : "/";
    if (place == 1 && http::IsFieldValue(text)) head.headers.Add("t", text);
    if (place == 2 && http::IsFieldValue(text)) head.headers.Add("cookie", "t=" + text);
    const auto verdict = filter::Authenticate(**rules, head, absl::FromUnixSeconds(1'700'000'000));
    if (verdict.token.has_value()) __builtin_trap();
    if (head.headers.Has("x-payload")) __builtin_trap();
  }
}

void FuzzKeys(const std::string& text) {
  const auto set = filter::KeySet::Parse(text);
  if (!set.ok()) return;
  for (const char* algorithm : {"RS256", "PS512", "ES256", "ES512", "EdDSA"}) {
    const std::string signature(64, 'a');
    if (set->Verify(algorithm, "", "text", signature) == filter::KeySet::Result::kGood)
      __builtin_trap();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string text(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (data[0] % 2 == 0)
    FuzzToken(text);
  else
    FuzzKeys(text);
  return 0;
}
