// Pieces of rewrites and redirects.
#pragma once

#include <string>
#include <string_view>

#include "ztunnel/waypoint/route/text_match.h"

namespace mesh::route {

// `path`, which `match` took, with the prefix that it asked for replaced; all of it when the match
// asked for no prefix. Of whole segments no `//` comes out (Gateway API); of characters what stands
// there. Begins with '/'.
std::string ReplacePrefix(const PathMatch& match, std::string_view with, std::string_view path);

std::string WithQuery(std::string path, std::string_view query);

}  // namespace mesh::route
