// Identifiers as text, strictly read: lower-case hexadecimal, as many digits as there must be.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace mesh::filter {

// Up to 16 digits; upper case too when `any_case` (B3 of old clients).
std::optional<uint64_t> ParseHex64(std::string_view text, bool any_case);
void AppendHex64(uint64_t value, std::string& out);  // 16 digits

}  // namespace mesh::filter
