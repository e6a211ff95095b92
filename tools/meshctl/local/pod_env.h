// The environment of a container: its `env`, with values from the pod's own fields.
#pragma once

#include <string>
#include <vector>

#include "tools/meshctl/json.h"

namespace mesh::local {

// `pod` has its status. PATH begins with `bin_dir`.
std::vector<std::string> PodEnv(const meshctl::Json& container, const meshctl::Json& pod,
                                const std::string& bin_dir);

// $(NAME) of a command line, as Kubernetes replaces it; $$(NAME) stays as $(NAME).
std::string ExpandVariables(const std::string& text, const std::vector<std::string>& env);

}  // namespace mesh::local
