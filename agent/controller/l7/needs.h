// Which services need a waypoint for their rules to be in force.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "agent/controller/l7/names.h"
#include "agent/controller/model/settings.h"
#include "proto/api/istio_traffic.pb.h"

namespace mesh::controller {

// Asked for each host; built once for a state of the rules.
class L7Needs {
 public:
  // A VirtualService for the mesh asks for its hosts, a DestinationRule with a policy for its host.
  void Add(const api::VirtualService& rule, const Settings& settings);
  void Add(const api::DestinationRule& rule, const Settings& settings);

  // The rule that asks for it: "VirtualService shop/reviews"; empty: none.
  std::string WhyFor(const std::string& host) const;

 private:
  void Add(const std::string& host, const std::string& why);

  std::map<std::string, std::string> exact_;      // host -> rule
  std::map<std::string, std::string> wildcards_;  // pattern -> rule
};

}  // namespace mesh::controller
