// What holds where no configuration says otherwise.
#pragma once

#include "ztunnel/waypoint/proxy/target.h"
#include "ztunnel/waypoint/route/retry.h"

namespace mesh::waypoint {

// Two retries of what was surely not handled.
const route::RetryPolicy& DefaultRetryPolicy();

// The cluster of a target without a route: all endpoints of the service's port, or the one
// workload. Null when there is none.
lb::ClusterRef DefaultCluster(const Config& config, const Target& target);

// The version of HTTP for an endpoint: the cluster's, that of the port, or the client's.
bool SpeaksHttp2(const lb::ClusterOptions& options, const Target& target,
                 const http::RequestHead& head);

// Whether the cluster's limit of retries in progress, or its budget, has room for one more.
bool AdmitsRetry(const lb::Cluster& cluster);

}  // namespace mesh::waypoint
