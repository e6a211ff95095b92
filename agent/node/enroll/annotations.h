// Tells the rest of the cluster which pods are captured: the annotation
// ambient.istio.io/redirection.
#pragma once

#include <absl/status/status.h>

#include <string>
#include <string_view>

#include "ztunnel/base/string_map.h"

namespace mesh::node {

// A seam: files in local mode, the API server's pods/status elsewhere.
class Annotator {
 public:
  virtual ~Annotator() = default;
  // "enabled" or "pending".
  virtual absl::Status Set(const std::string& ns, const std::string& name,
                           std::string_view value) = 0;
  virtual absl::Status Clear(const std::string& ns, const std::string& name) = 0;
  // Clears every pod of this node that is not among `keep` (namespace/name).
  virtual absl::Status ClearOthers(const StringSet& keep) = 0;
};

// <directory>/<node>_pod_<ns>_<name>.patch.json, a merge patch each. An empty directory: nothing is
// written.
class PatchAnnotator : public Annotator {
 public:
  PatchAnnotator(std::string directory, std::string node)
      : directory_(std::move(directory)), node_(std::move(node)) {}
  absl::Status Set(const std::string& ns, const std::string& name, std::string_view value) override;
  absl::Status Clear(const std::string& ns, const std::string& name) override;
  absl::Status ClearOthers(const StringSet& keep) override;

 private:
  std::string PathOf(const std::string& ns, const std::string& name) const;
  std::string directory_;
  std::string node_;
};

}  // namespace mesh::node
