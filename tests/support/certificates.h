// Certificates for ends that tests play by hand. Files, made with the openssl program.
#pragma once

#include <string>

#include "tests/support/process.h"

namespace mesh::test {

// A new authority that nobody trusts: ca-cert.pem and ca-key.pem in `directory`, which is made.
Outcome MakeAuthority(const std::string& directory);

// key.pem and leaf.pem in `directory`, which is made: a certificate for the one URI name `uri`, by
// the authority whose ca-cert.pem and ca-key.pem are in `authority`.
Outcome IssueCertificate(const std::string& authority, const std::string& directory,
                         const std::string& uri);

}  // namespace mesh::test
