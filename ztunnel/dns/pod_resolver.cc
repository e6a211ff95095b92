#include "ztunnel/dns/pod_resolver.h"

#include <absl/random/random.h>

#include "ztunnel/base/log.h"

namespace mesh::dns {
namespace {

void LogAnswer(const Client& client, const Query& query, const Resolution& resolution) {
  static const auto log = Logger("dns");
  if (!log->should_log(spdlog::level::debug)) return;
  std::string endpoints;
  for (const IpAddress& ip : resolution.addresses) {
    if (!endpoints.empty()) endpoints += ',';
    endpoints += ip.ToString();
  }
  log->debug("dns query src.workload={} src.namespace={} query={} domain={} result={} endpoints={}",
             Quoted(client.name), Quoted(client.ns), TypeName(query.type), Quoted(query.name),
             Quoted(resolution.domain), Quoted(endpoints));
}

void Shuffle(std::vector<IpAddress>& addresses) {
  thread_local absl::InsecureBitGen random;
  std::shuffle(addresses.begin(), addresses.end(), random);
}

}  // namespace

std::string ServerFailure(Bytes message, const Query& query) {
  return BuildAnswer(message, query, {.rcode = Rcode::kServerFailure}, kMaxUdpBytes);
}

Verdict Decide(Bytes message, Transport transport, const state::MeshState* mesh,
               const Client& client, const ResolverConfig& config, Metrics& metrics) {
  Verdict verdict;
  auto query = ParseQuery(message);
  if (!query.ok()) {
    const auto error = BuildFormatError(message);
    verdict.drop = !error.has_value();
    verdict.reply = error.value_or("");
    return verdict;
  }
  verdict.query = *std::move(query);
  const Query& q = verdict.query;
  if (mesh != nullptr) {
    verdict.workload =
        mesh->FindPod(config.cluster_id, client.ns, client.name, client.service_account);
  }
  metrics.Request(q.type, transport, verdict.workload.get());
  if (verdict.workload == nullptr) {
    verdict.reply = ServerFailure(message, q);
    return verdict;
  }
  const bool ours = q.opcode == 0 && q.qclass == kClassIn && q.plain && !q.name.empty() &&
                    (q.type == kTypeA || q.type == kTypeAaaa);
  if (!ours) return verdict;
  Resolution resolution = Resolve(*mesh, *verdict.workload, q.name, q.type, config);
  if (!resolution.known) return verdict;
  LogAnswer(client, q, resolution);
  Answer answer{.authoritative = true, .cname = "", .addresses = std::move(resolution.addresses)};
  if (!answer.addresses.empty()) answer.cname = std::move(resolution.cname);
  Shuffle(answer.addresses);
  verdict.reply =
      BuildAnswer(message, q, answer, transport == Transport::kUdp ? q.UdpLimit() : kMaxTcpBytes);
  return verdict;
}

}  // namespace mesh::dns
