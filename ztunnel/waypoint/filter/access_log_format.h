// One line of the access log: Envoy's default text format or its JSON form. Both end in '\n'.
#pragma once

#include <string>

#include "ztunnel/waypoint/route/facts.h"

namespace mesh::filter {

void AppendAccessLogText(const route::Facts& facts, std::string& out);
void AppendAccessLogJson(const route::Facts& facts, std::string& out);

// `text` in quotes, with JSON's escapes; bytes that are no UTF-8 become U+FFFD.
void AppendJsonString(std::string_view text, std::string& out);

}  // namespace mesh::filter
