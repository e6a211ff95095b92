// JSON's strings.
#pragma once

#include <string>
#include <string_view>

namespace mesh::filter {

// `text` in quotes, escaped; each byte that belongs to no UTF-8 character becomes U+FFFD.
void AppendJsonString(std::string_view text, std::string& out);

}  // namespace mesh::filter
