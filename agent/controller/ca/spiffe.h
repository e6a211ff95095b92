// Which identities the certificate authority puts into a certificate.
#pragma once

#include <absl/status/statusor.h>

#include <string_view>

#include "ztunnel/base/spiffe.h"

namespace mesh::controller {

// As SpiffeId::Parse, and of the characters alone that names and domains have: the text goes into
// an extension whose syntax has marks of its own.
absl::StatusOr<SpiffeId> ParseIssuable(std::string_view uri);

}  // namespace mesh::controller
