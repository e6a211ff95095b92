// Durations as the API writes them: Go's notation ("5s", "1m30s", "1.5s", "0s").
#pragma once

#include <absl/time/time.h>

#include <optional>
#include <string>

namespace mesh::k8s {

// None: not in that notation, or without end.
std::optional<absl::Duration> ParseDuration(const std::string& text);

}  // namespace mesh::k8s
