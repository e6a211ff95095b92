// What the three ports of the proxy answer: admin (loopback), stats and readiness.
//
// The handlers are thread-safe and run on the HTTP servers' threads; what they need from the main
// loop comes through the functions given here.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "ztunnel/admin/http_server.h"
#include "ztunnel/admin/readiness.h"

namespace mesh::telemetry {
class MetricsRegistry;
}

namespace mesh::admin {

struct AdminSources {
  std::function<std::optional<std::string>()> config_dump;  // nothing: not to be had in time
  std::function<void()> quit;                               // begins the shutdown and returns
  std::string initial_log_levels = "info";                  // what ?reset goes back to
};

HttpHandler AdminHandler(AdminSources sources);
HttpHandler StatsHandler(telemetry::MetricsRegistry& registry);  // /metrics, /stats/prometheus
HttpHandler ReadinessHandler(const Readiness& readiness);

}  // namespace mesh::admin
