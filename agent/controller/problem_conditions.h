// What is wrong with an object, as the condition `Valid` of its status: False and Invalid when it
// is refused, True and PartlyHonoured when a part of it is not honoured. Objects without a problem
// have none.
//
// Pure; thread: any.
#pragma once

#include <map>
#include <vector>

#include "agent/k8s/source.h"

namespace mesh::controller {

// By object; problems of what is no known object (text that does not parse) are left out.
std::map<k8s::Key, api::Condition> ConditionsOf(const std::vector<k8s::Problem>& problems);

// Whether nobody else writes conditions of this kind: a list of conditions replaces the one below
// it.
bool OwnsConditions(k8s::Kind kind);

}  // namespace mesh::controller
