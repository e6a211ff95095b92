// Puts resources of discovery into a StateStore: the parser of what the control plane sends. Types
// that are not the mesh's go to `more`.
#pragma once

#include "ztunnel/core/state/mesh_state.h"
#include "ztunnel/core/xds/delta_client.h"

namespace mesh::xds {

class StateSink : public ResourceSink {
 public:
  explicit StateSink(state::StateStore& store, ResourceSink* more = nullptr)
      : store_(store), more_(more) {}
  absl::Status Upsert(std::string_view type_url, const Resource& resource) override;
  void Remove(std::string_view type_url, std::string_view name) override;

 private:
  state::StateStore& store_;
  ResourceSink* const more_;
};

}  // namespace mesh::xds
