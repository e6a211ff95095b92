#include "ztunnel/core/identity/key_exchange.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include <memory>

#include "ztunnel/base/status.h"
#include "ztunnel/core/identity/pem.h"

namespace mesh::identity {

absl::Status CheckKeyExchange(const std::string& groups) {
  const std::unique_ptr<SSL_CTX, OpensslDelete<SSL_CTX_free>> context(SSL_CTX_new(TLS_method()));
  const bool known = context && SSL_CTX_set1_groups_list(context.get(), groups.c_str()) == 1;
  ERR_clear_error();
  if (known) return absl::OkStatus();
  return Unavailable("OpenSSL {} does not know {}", OpenSSL_version(OPENSSL_VERSION_STRING),
                     groups);
}

}  // namespace mesh::identity
