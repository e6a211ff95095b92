// Which endpoint of a cluster takes a request.
#pragma once

#include <absl/random/bit_gen_ref.h>

#include <optional>
#include <span>

#include "ztunnel/waypoint/lb/cluster.h"

namespace mesh::lb {

struct ChooseInput {
  std::optional<uint64_t> hash;        // of the key of a consistent hash; none: any host
  std::span<const Host* const> tried;  // avoided while there are others (5 tries)
  absl::Time now;
};

// Null: there is none, or all are ejected (503 UH). The host lives as long as the cluster.
const Host* Choose(const Cluster& cluster, const ChooseInput& input, absl::BitGenRef random);

}  // namespace mesh::lb
