// Which key exchanges of TLS 1.3 a proxy may use: OpenSSL's list of groups, colons between them.
#pragma once

#include <absl/status/status.h>

#include <string>

namespace mesh::identity {

// Safe from who records today and has a quantum computer tomorrow; OpenSSL 3.5 is the first with
// it.
inline constexpr char kPostQuantum[] = "X25519MLKEM768";

// Unavailable when the OpenSSL at hand does not know one of `groups`.
absl::Status CheckKeyExchange(const std::string& groups);

}  // namespace mesh::identity
