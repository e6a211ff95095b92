#include "ztunnel/core/telemetry/labels.h"

#include "ztunnel/base/utf8.h"

namespace mesh::telemetry {
namespace {

// One end of a connection; empty fields are written as "unknown".
struct End {
  std::string_view workload, canonical_service, canonical_revision, ns, app, version, cluster;
  std::string_view region, zone;
  std::string principal;
  bool known = false;
};

End EndOf(const state::WorkloadRef& w) {
  End end;
  if (w == nullptr) return end;
  end.workload = w->workload_name;
  end.canonical_service = w->canonical_name;
  end.canonical_revision = w->canonical_revision;
  end.ns = w->ns;
  end.app = w->canonical_name;
  end.version = w->canonical_revision;
  end.cluster = w->cluster_id;
  end.region = w->locality.region;
  end.zone = w->locality.zone;
  end.known = true;
  return end;
}

End EndOf(const Baggage& b) {
  End end;
  end.workload = b.workload_name;
  end.canonical_service = b.service_name;
  end.canonical_revision = b.revision;
  end.ns = b.ns;
  end.app = b.workload_name;
  end.version = b.revision;
  end.cluster = b.cluster;
  end.region = b.region;
  end.zone = b.zone;
  end.known = true;
  return end;
}

void Append(std::string& out, std::string_view name, std::string_view value) {
  if (!out.empty()) out.push_back(',');
  AppendLabel(out, name, value.empty() ? "unknown" : value);
}

void AppendSource(std::string& out, const End& source) {
  Append(out, "source_workload", source.workload);
  Append(out, "source_canonical_service", source.canonical_service);
  Append(out, "source_canonical_revision", source.canonical_revision);
  Append(out, "source_workload_namespace", source.ns);
  Append(out, "source_principal", source.principal);
  Append(out, "source_app", source.app);
  Append(out, "source_version", source.version);
  Append(out, "source_cluster", source.cluster);
}

void AppendDestination(std::string& out, const End& destination, std::string_view hostname,
                       std::string_view service_ns, std::string_view service_name) {
  Append(out, "destination_service", hostname);
  Append(out, "destination_service_namespace", service_ns);
  Append(out, "destination_service_name", service_name);
  Append(out, "destination_workload", destination.workload);
  Append(out, "destination_canonical_service", destination.canonical_service);
  Append(out, "destination_canonical_revision", destination.canonical_revision);
  Append(out, "destination_workload_namespace", destination.ns);
  Append(out, "destination_principal", destination.principal);
  Append(out, "destination_app", destination.app);
  Append(out, "destination_version", destination.version);
  Append(out, "destination_cluster", destination.cluster);
}

TcpLabels Render(Reporter reporter, const End& source, const End& destination,
                 std::string_view hostname, std::string_view service_ns,
                 std::string_view service_name, std::string_view security) {
  TcpLabels labels;
  std::string& out = labels.before_flags;
  out.reserve(1024);
  Append(out, "reporter", reporter == Reporter::kSource ? "source" : "destination");
  AppendSource(out, source);
  AppendDestination(out, destination, hostname, service_ns, service_name);
  Append(out, "request_protocol", "tcp");
  out += ",response_flags=\"";

  std::string& rest = labels.after_flags;
  rest = "\",";
  AppendLabel(rest, "connection_security_policy", security);
  if (source.known || destination.known) {
    Append(rest, "source_region", source.region);
    Append(rest, "source_zone", source.zone);
    Append(rest, "destination_region", destination.region);
    Append(rest, "destination_zone", destination.zone);
  }
  return labels;
}

}  // namespace

void AppendLabel(std::string& out, std::string_view name, std::string_view value) {
  out.append(name);
  out += "=\"";
  // One byte that is not UTF-8 would make a scraper refuse the whole page.
  ForEachUtf8(value, [&](std::string_view piece) {
    if (piece == "\n") {
      out += "\\n";
      return;
    }
    if (piece == "\"" || piece == "\\") out.push_back('\\');
    out += piece;
  });
  out.push_back('"');
}

std::string PrincipalOf(const identity::Identity& id) { return id.ToString(); }

bool PrincipalsProved(const ConnectionInfo& info) {
  return info.mutual_tls || (info.source_identity && info.destination_identity);
}

TcpLabels RenderLabels(const ConnectionInfo& info) {
  End source = info.source != nullptr ? EndOf(info.source)
               : info.source_baggage  ? EndOf(*info.source_baggage)
                                      : End();
  End destination = EndOf(info.destination);
  if (PrincipalsProved(info)) {
    if (info.source_identity) source.principal = PrincipalOf(*info.source_identity);
    if (info.destination_identity) destination.principal = PrincipalOf(*info.destination_identity);
  }
  const state::Service* service = info.destination_service.get();
  return Render(info.reporter, source, destination, service ? service->hostname : "",
                service ? service->ns : "", service ? service->name : "",
                info.mutual_tls ? "mutual_tls" : "unknown");
}

void AppendSourceLabels(const state::WorkloadRef& source,
                        const std::optional<identity::Identity>& identity, std::string& out) {
  End end = EndOf(source);
  if (identity) end.principal = PrincipalOf(*identity);
  AppendSource(out, end);
}

void AppendDestinationLabels(const state::ServiceRef& service,
                             const state::WorkloadRef& destination,
                             const std::optional<identity::Identity>& identity, std::string& out) {
  End end = EndOf(destination);
  if (identity) end.principal = PrincipalOf(*identity);
  AppendDestination(out, end, service ? service->hostname.view() : "",
                    service ? service->ns.view() : "", service ? service->name.view() : "");
}

std::string HostLookupLabels(const state::WorkloadRef& source, std::string_view hostname) {
  End end = EndOf(source);
  if (source != nullptr) end.principal = PrincipalOf(source->Identity());
  std::string out;
  AppendSource(out, end);
  Append(out, "hostname", hostname);
  return out;
}

TcpLabels OverflowLabels(Reporter reporter) {
  End end;
  end.workload = "overflow";
  return Render(reporter, end, end, "", "", "", "unknown");
}

}  // namespace mesh::telemetry
