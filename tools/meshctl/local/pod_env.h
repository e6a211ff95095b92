// The environment of a container: its `envFrom` and `env`, with values from ConfigMaps and from the
// pod's own fields.
#pragma once

#include <absl/status/statusor.h>

#include <string>
#include <string_view>
#include <vector>

#include "tools/meshctl/local/store.h"

namespace mesh::local {

// `pod` has its status; PATH begins with `bin_dir`. Unavailable: a ConfigMap or a key of one that
// is not optional is not there (yet).
absl::StatusOr<std::vector<std::string>> PodEnv(const meshctl::Json& container,
                                                const meshctl::Json& pod,
                                                const ObjectStore& objects,
                                                const std::string& bin_dir,
                                                const std::string& pod_dir);

// Whether a fieldRef of this path has a value here.
bool IsPodField(std::string_view path);

// $(NAME) of a command line, as Kubernetes replaces it; $$(NAME) stays as $(NAME).
std::string ExpandVariables(const std::string& text, const std::vector<std::string>& env);

}  // namespace mesh::local
