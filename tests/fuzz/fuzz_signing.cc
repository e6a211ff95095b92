// What asks for certificates: tokens, their claims, SPIFFE ids, certificate requests.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "agent/controller/ca/certificate_authority.h"
#include "agent/controller/ca/spiffe.h"
#include "agent/controller/ca/token.h"

namespace {

using namespace mesh::controller;

constexpr char kKey[] =
    "-----BEGIN PUBLIC KEY-----\n"
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE+sI0zzC3JBdJM/kvI0JuGDb9/7Gh\n"
    "6UjONR8ApI4t+oSnVYnsvrmNG45IOFteB0NzpjGQ2mShRQbS+uLPA/LAjw==\n"
    "-----END PUBLIC KEY-----\n";

CertificateAuthority OpenAuthority() {
  char directory[] = "/tmp/fuzz_signing_XXXXXX";
  auto authority = CertificateAuthority::Open({.directory = ::mkdtemp(directory)});
  if (!authority.ok()) std::abort();
  (void)!std::system((std::string("rm -r ") + directory).c_str());
  return *std::move(authority);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const CertificateAuthority authority = OpenAuthority();
  static const JwtReviewer reviewer = *JwtReviewer::Create(kKey);
  const std::string text(reinterpret_cast<const char*>(data), size);
  (void)reviewer.Review(text, absl::UnixEpoch());
  (void)ReadClaims(text, absl::UnixEpoch());
  (void)JwtReviewer::Create(text);
  if (const auto id = mesh::SpiffeId::Parse(text); id.ok() && id->ToString() != text) std::abort();
  (void)authority.Sign(text, "spiffe://cluster.local/ns/a/sa/b", absl::Hours(1));
  return 0;
}
