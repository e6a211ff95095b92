// The labels of the istio_tcp_* series, in the order that the reference writes them. response_flags
// stands between two constant parts, so one series keeps both parts and a cell per flag.
#pragma once

#include <optional>
#include <string>

#include "ztunnel/core/telemetry/telemetry.h"

namespace mesh::telemetry {

struct TcpLabels {
  std::string before_flags;  // `reporter="source",...,request_protocol="tcp",response_flags="`
  std::string after_flags;   // `",connection_security_policy="mutual_tls",...`
  bool operator==(const TcpLabels&) const = default;
};

TcpLabels RenderLabels(const ConnectionInfo& info);
// The labels of one end, appended; what is unknown is written as "unknown". `identity`: proved.
void AppendSourceLabels(const state::WorkloadRef& source,
                        const std::optional<identity::Identity>& identity, std::string& out);
void AppendDestinationLabels(const state::ServiceRef& service,
                             const state::WorkloadRef& destination,
                             const std::optional<identity::Identity>& identity, std::string& out);
// Of istio_on_demand_dns: the source as above and the name.
std::string HostLookupLabels(const state::WorkloadRef& source, std::string_view hostname);
// All series that found no room, by reporter.
TcpLabels OverflowLabels(Reporter reporter);

// Whether identities may be named: they were proved, by TLS or, on one node, by the kernel.
bool PrincipalsProved(const ConnectionInfo& info);

std::string PrincipalOf(const identity::Identity& identity);  // as reported: spiffe://...

// Appends `name="value"` with the exposition format's escapes; bytes that are not UTF-8 become
// U+FFFD.
void AppendLabel(std::string& out, std::string_view name, std::string_view value);

}  // namespace mesh::telemetry
