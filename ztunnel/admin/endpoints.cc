#include "ztunnel/admin/endpoints.h"

#include "ztunnel/admin/gzip.h"
#include "ztunnel/base/log.h"
#include "ztunnel/core/telemetry/registry.h"

namespace mesh::admin {
namespace {

constexpr char kPage[] =
    "<!DOCTYPE html>\n<html><head><title>ztunnel</title></head><body><h1>ztunnel</h1><ul>\n"
    "<li><a href=\"config_dump\">config_dump</a>: workloads, services, policies, certificates, "
    "connections</li>\n"
    "<li>POST /logging?level=LEVEL or ?level=SCOPE=LEVEL,... or ?reset; without a query: the "
    "levels "
    "now</li>\n"
    "<li>POST /quitquitquit: shut down</li>\n"
    "</ul></body></html>\n";

HttpResponse NotFound() { return {.status = 404, .body = "not found\n"}; }
HttpResponse NotAllowed(std::string allow) {
  return {.status = 405, .body = "method not allowed, use " + allow + "\n", .allow = allow};
}

bool IsRead(const HttpRequest& request) {
  return request.method == "GET" || request.method == "HEAD";
}

HttpResponse Logging(const HttpRequest& request, const std::string& initial) {
  if (request.method != "POST") return NotAllowed("POST");
  if (request.query.contains("reset")) {
    SetLogLevels(initial);
  } else if (const auto level = request.query.find("level"); level != request.query.end()) {
    if (!SetLogLevels(level->second)) {
      return {.status = 400,
              .body = "no such level: " + Quoted(level->second) +
                      "\nusage: POST /logging?level=info or ?level=xds=debug,access=warn; levels: "
                      "trace debug info warn error off\n"};
    }
  } else if (!request.query.empty()) {
    return {.status = 400, .body = "usage: POST /logging?level=LEVEL or ?reset\n"};
  }
  return {.body = "current log level is " + LogLevels() + "\n"};
}

}  // namespace

HttpHandler AdminHandler(AdminSources sources) {
  return [sources = std::move(sources)](const HttpRequest& request) -> HttpResponse {
    if (request.path == "/") {
      if (!IsRead(request)) return NotAllowed("GET");
      return {.body = kPage, .content_type = "text/html; charset=utf-8"};
    }
    if (request.path == "/config_dump") {
      if (!IsRead(request)) return NotAllowed("GET");
      auto dump = sources.config_dump();
      if (!dump) return {.status = 503, .body = "the main loop did not answer in time\n"};
      return {.body = *std::move(dump), .content_type = "application/json"};
    }
    if (request.path == "/logging") return Logging(request, sources.initial_log_levels);
    if (request.path == "/quitquitquit") {
      if (request.method != "POST") return NotAllowed("POST");
      sources.quit();
      return {.body = "shutdown now\n"};
    }
    return NotFound();
  };
}

HttpHandler StatsHandler(telemetry::MetricsRegistry& registry) {
  return [&registry](const HttpRequest& request) -> HttpResponse {
    if (request.path != "/metrics" && request.path != "/stats/prometheus") return NotFound();
    if (!IsRead(request)) return NotAllowed("GET");
    // OpenMetrics unless the scraper speaks of plain text alone.
    const bool text = request.accept.find("openmetrics") == std::string::npos &&
                      request.accept.find("text/plain") != std::string::npos;
    HttpResponse response;
    response.body = registry.Render(text ? telemetry::MetricsFormat::kText
                                         : telemetry::MetricsFormat::kOpenMetrics);
    response.content_type = text ? "text/plain; version=0.0.4; charset=utf-8"
                                 : "application/openmetrics-text; version=1.0.0; charset=utf-8";
    // The server compresses text/* by itself.
    if (!text && request.accept_encoding.find("gzip") != std::string::npos) {
      if (auto packed = Gzip(response.body)) {
        response.body = *std::move(packed);
        response.content_encoding = "gzip";
      }
    }
    return response;
  };
}

HttpHandler ReadinessHandler(const Readiness& readiness) {
  return [&readiness](const HttpRequest& request) -> HttpResponse {
    if (request.path != "/healthz/ready") return NotFound();
    if (!IsRead(request)) return NotAllowed("GET");
    const std::string pending = readiness.Pending();
    if (pending.empty()) return {.body = "ready\n"};
    return {.status = 500, .body = "not ready, pending: " + pending + "\n"};
  };
}

}  // namespace mesh::admin
