// What a workload asks for and does not get on a machine without images and volumes: told when it
// is applied, so that nothing is left out in silence. Refused is what would make the program start
// with other settings than were asked for; the rest is a warning. imagePullPolicy has nothing to
// act on.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tools/meshctl/json.h"

namespace mesh::local {

struct Remark {
  std::string field, reason;  // "spec.template.spec.containers[0].env[1].valueFrom.secretKeyRef"
  bool refused = false;
};

// Remarks on a Pod, or on what has a template of one; none on other kinds.
std::vector<Remark> CheckWorkload(const meshctl::Json& object);

// Whether objects of this kind make pods in Kubernetes and do not here: those are refused by name.
bool IsForeignWorkload(std::string_view kind);

}  // namespace mesh::local
