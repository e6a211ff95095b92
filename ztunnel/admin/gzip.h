// Gzip (RFC 1952) of a whole text.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace mesh::admin {

std::optional<std::string> Gzip(std::string_view text);

}  // namespace mesh::admin
