#include "ztunnel/waypoint/proxy/report.h"

#include "ztunnel/base/log.h"
#include "ztunnel/waypoint/filter/access_log_format.h"

namespace mesh::waypoint {

void ReportRequest(Core& core, const Scene& scene, const route::Facts& facts, const lb::Host* host,
                   uint16_t status, std::string_view grpc_status) {
  RequestRecord record;
  record.source = scene.client.workload;
  record.source_identity = scene.client.identity;
  record.service = scene.target.service;
  record.destination = host != nullptr ? host->workload : scene.target.workload;
  record.status = status;
  record.flags = facts.flags;
  record.grpc = facts.request != nullptr && http::IsGrpc(facts.request->headers);
  record.grpc_status = grpc_status;
  record.duration = facts.duration.value_or(absl::ZeroDuration());
  record.request_bytes = facts.bytes_received;
  record.response_bytes = facts.bytes_sent;
  core.requests.Record(record);

  static const auto log = Logger("access");
  if (!log->should_log(spdlog::level::info)) return;
  std::string line;
  static const filter::AccessLogFormat format = filter::AccessLogFormat::Text();
  format.Append(facts, line);
  if (!line.empty()) line.pop_back();
  log->info("{}", line);
}

}  // namespace mesh::waypoint
