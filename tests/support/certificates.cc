#include "tests/support/certificates.h"

namespace mesh::test {

Outcome MakeAuthority(const std::string& directory) {
  return RunCommand({"bash", "-ec", R"(
mkdir -p "$0"; cd "$0"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca-key.pem \
  -out ca-cert.pem -subj /O=stranger -days 1
)",
                     directory});
}

Outcome IssueCertificate(const std::string& authority, const std::string& directory,
                         const std::string& uri) {
  return RunCommand({"bash", "-ec", R"(
mkdir -p "$1"; cd "$1"
openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem -subj / \
  -out csr.pem
echo "subjectAltName=critical,URI:$2" > names
openssl x509 -req -in csr.pem -CA "$0/ca-cert.pem" -CAkey "$0/ca-key.pem" -CAcreateserial \
  -CAserial serial -days 1 -extfile names -out leaf.pem
)",
                     authority, directory, uri});
}

}  // namespace mesh::test
