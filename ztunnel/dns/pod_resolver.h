// What becomes of one query of one pod: an answer of our own, or a word where to forward it.
//
// Owner: DnsWorker. Thread: the worker's loop.
#pragma once

#include <optional>
#include <string>

#include "ztunnel/base/dns/message.h"
#include "ztunnel/core/state/mesh_state.h"
#include "ztunnel/dns/metrics.h"
#include "ztunnel/dns/resolver.h"

namespace mesh::dns {

// A pod whose queries are served.
struct Client {
  std::string uid;
  std::string name;
  std::string ns;
  std::string service_account;
};

struct Verdict {
  std::string reply;  // empty: forward
  bool drop = false;  // neither: not a query at all
  Query query;        // when it is to be forwarded
  state::WorkloadRef workload;
};

// `mesh` may be null (nothing known yet): SERVFAIL, as for a pod that the mesh does not know.
Verdict Decide(Bytes message, Transport transport, const state::MeshState* mesh,
               const Client& client, const ResolverConfig& config, Metrics& metrics);

std::string ServerFailure(Bytes message, const Query& query);

}  // namespace mesh::dns
