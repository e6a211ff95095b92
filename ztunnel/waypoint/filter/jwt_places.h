// Where tokens stand in a request.
#pragma once

#include <string>
#include <vector>

#include "ztunnel/waypoint/filter/jwt.h"

namespace mesh::filter {

// The tokens in the places of a rule, at most 8: more are refused as malformed by who asks.
std::vector<std::string> TokensOf(const JwtRule& rule, const http::RequestHead& head);
inline constexpr size_t kMaxTokens = 8;

// Takes what TokensOf found out of the request.
void RemoveTokens(const JwtRule& rule, http::RequestHead& head);

}  // namespace mesh::filter
