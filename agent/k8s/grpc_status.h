// Names of gRPC's status codes.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace mesh::k8s {

// "UNAVAILABLE" is 14.
std::optional<uint32_t> GrpcStatusNamed(std::string_view name);

}  // namespace mesh::k8s
