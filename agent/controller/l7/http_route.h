// One http rule of a VirtualService -> mesh.l7.v1.Route, for one port of one service.
#pragma once

#include <optional>
#include <set>
#include <string>

#include "agent/controller/l7/destination_rules.h"
#include "proto/l7_frontend.pb.h"

namespace mesh::controller {

// What translating a rule asks and tells.
struct RouteContext {
  const Settings& settings;
  const L7Directory& directory;
  const DestinationRules& destination_rules;
  std::string rule_ns;  // of the VirtualService: short names are of it
  std::string client;   // whose DestinationRules count (DestinationRules::For)
  // Not empty: the rules are those of this namespace's clients alone,
  std::string consumer_ns;
  // and not null: of those among them that have these labels.
  const k8s::Labels* consumer_labels = nullptr;
  uint32_t port = 0;                  // the one that clients address
  std::set<ClusterRef>& clusters;     // added: all that routes name
  std::set<std::string>& label_keys;  // added: what sourceLabels ask for
};

// None: no request of this port and these clients can match it.
std::optional<mesh::l7::v1::Route> TranslateHttpRule(const api::HttpRule& rule,
                                                     const std::string& origin,
                                                     const RouteContext& context);
// Whether it takes every request of the clients that it is for, so that what follows is never
// asked.
bool TakesEverything(const mesh::l7::v1::Route& route, const RouteContext& context);
// Narrows what a match says of clients to those of the context. False: they are none.
bool NarrowClients(const RouteContext& context, std::string* source_namespace,
                   k8s::Labels* source_labels);

// The route of a service without rules: all of its endpoints.
mesh::l7::v1::Route DefaultRoute(const L7Service& service, const RouteContext& context);

// The cluster of a destination, noted in the context.
std::string ClusterOf(const api::Destination& destination, const RouteContext& context);

}  // namespace mesh::controller
