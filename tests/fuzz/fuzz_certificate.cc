// PEM text of certificates, keys and revocation lists, from files and from the signing service.
#include <cstdint>
#include <string>

#include "ztunnel/core/identity/certificate.h"
#include "ztunnel/core/identity/pem.h"
#include "ztunnel/core/identity/revocation.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace mesh::identity;
  const std::string text(reinterpret_cast<const char*>(data), size);
  if (const auto certificates = ParseCertificates(text); certificates.ok()) {
    for (const X509Ptr& c : *certificates) {
      (void)mesh::identity::Describe(*c);
      UriNames(*c);
    }
  }
  (void)ParsePrivateKey(text);
  (void)RevocationLists::Parse(text);
  (void)WorkloadCertificate::Create({"td", "ns", "sa"}, text, {text, text});
  return 0;
}
