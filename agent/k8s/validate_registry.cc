#include <fmt/format.h>

#include <set>

#include "agent/k8s/checker.h"
#include "agent/k8s/validate.h"
#include "ztunnel/base/ip.h"

namespace mesh::k8s {
namespace {

using Spec = api::ServiceEntrySpec;

void Error(std::vector<Issue>& issues, std::string field, std::string reason) {
  issues.push_back({Level::kError, std::move(field), std::move(reason)});
}

bool StartsWith(std::string_view text, std::string_view prefix) {
  return text.substr(0, prefix.size()) == prefix;
}

bool IsUnixSocket(std::string_view address) { return StartsWith(address, "unix://"); }

bool IsPort(int64_t port) { return port >= 1 && port <= 65535; }

void ValidateEndpoint(const api::WorkloadEntrySpec& endpoint, const std::string& field,
                      std::vector<Issue>& issues) {
  const std::string& address = endpoint.address();
  if (address.empty()) {
    if (endpoint.network().empty()) {
      Error(issues, field + ".address", "required when there is no network");
    } else {
      issues.push_back({Level::kWarning, field + ".address",
                        fmt::format("unset, with network \"{}\"", endpoint.network())});
    }
  } else if (IsUnixSocket(address)) {
    const std::string path = address.substr(7);
    if (!StartsWith(path, "/") && !StartsWith(path, "@")) {
      Error(issues, field + ".address",
            fmt::format("\"{}\" must be an absolute path or an abstract socket", address));
    }
    if (!endpoint.ports().empty()) {
      Error(issues, field + ".ports", "a unix socket must not have ports");
    }
  } else if (!IpAddress::Parse(address) && !IsDomain(address)) {
    Error(issues, field + ".address",
          fmt::format("\"{}\" is neither an IP address nor a DNS name", address));
  }
  for (const auto& [name, port] : endpoint.ports()) {
    if (!IsPort(port)) {
      Error(issues, fmt::format("{}.ports.{}", field, name),
            fmt::format("must be between 1-65535, not {}", port));
    }
  }
  for (const auto& [key, value] : endpoint.labels()) {
    if (!IsLabelKey(key)) {
      Error(issues, field + ".labels", fmt::format("\"{}\" is no label key", key));
    }
  }
  if (endpoint.weight() < 0) {
    Error(issues, field + ".weight", fmt::format("must not be negative: {}", endpoint.weight()));
  }
}

class ServiceEntryValidator {
 public:
  ServiceEntryValidator(const Spec& spec, std::vector<Issue>& issues)
      : spec_(spec), issues_(issues) {}

  void Run() {
    Hosts();
    Addresses();
    Ports();
    Endpoints();
  }

 private:
  bool IsDns() const {
    return spec_.resolution() == Spec::DNS || spec_.resolution() == Spec::DNS_ROUND_ROBIN;
  }
  bool IsDynamic() const { return spec_.resolution() == Spec::DYNAMIC_DNS; }

  void Hosts() {
    if (spec_.hosts().empty()) Error(issues_, "spec.hosts", "must have at least one");
    for (int i = 0; i < spec_.hosts_size(); ++i) {
      const std::string field = fmt::format("spec.hosts[{}]", i);
      const std::string& host = spec_.hosts(i);
      const bool wildcard = IsWildcard(host);
      if (host.empty() || host == "*") {
        Error(issues_, field, fmt::format("invalid host \"{}\"", host));
      } else if (!wildcard && !IsDomain(host)) {
        Error(issues_, field, fmt::format("\"{}\" is no DNS name", host));
      } else if (wildcard && host[1] != '.') {
        issues_.push_back(
            {Level::kWarning, field, fmt::format("partial wildcard \"{}\" matches nothing", host)});
      }
      if (IsDynamic() && !wildcard) {
        Error(issues_, field, "must be a wildcard for resolution DYNAMIC_DNS");
      }
      if (IsDns() && wildcard && spec_.endpoints().empty()) {
        Error(issues_, field, "a wildcard host needs endpoints for DNS resolution");
      }
    }
  }

  void Addresses() {
    for (int i = 0; i < spec_.addresses_size(); ++i) {
      const std::string field = fmt::format("spec.addresses[{}]", i);
      const std::string& address = spec_.addresses(i);
      if (!IpPrefix::Parse(address)) {
        Error(issues_, field, fmt::format("\"{}\" is no IP address or prefix", address));
      } else if (address.find('/') != std::string::npos && (IsDns() || IsDynamic())) {
        Error(issues_, field, "prefixes are allowed only for resolution NONE and STATIC");
      }
      if (IsDynamic()) Error(issues_, field, "not allowed for resolution DYNAMIC_DNS");
    }
  }

  void Ports() {
    std::set<std::string> names;
    std::set<int32_t> numbers;
    bool routed = true;  // by host name: HTTP and TLS
    for (int i = 0; i < spec_.ports_size(); ++i) {
      const api::ServiceEntryPort& port = spec_.ports(i);
      const std::string field = fmt::format("spec.ports[{}]", i);
      if (!IsPort(port.number())) {
        Error(issues_, field + ".number",
              fmt::format("must be between 1-65535, not {}", port.number()));
      }
      if (port.target_port() != 0 && !IsPort(port.target_port())) {
        Error(issues_, field + ".targetPort",
              fmt::format("must be between 1-65535, not {}", port.target_port()));
      }
      if (port.name().empty()) Error(issues_, field + ".name", "required");
      if (!names.insert(port.name()).second) {
        Error(issues_, field + ".name", fmt::format("\"{}\" is defined twice", port.name()));
      }
      if (!numbers.insert(port.number()).second) {
        Error(issues_, field + ".number", fmt::format("{} is defined twice", port.number()));
      }
      const std::string& protocol = port.protocol();
      static const std::set<std::string> kKnown = {
          "",    "HTTP",  "HTTPS", "GRPC",  "GRPC-WEB", "HTTP2",     "TCP",
          "TLS", "MONGO", "MYSQL", "REDIS", "UDP",      "HTTP_PROXY"};
      if (kKnown.count(protocol) == 0) {
        Error(issues_, field + ".protocol", fmt::format("unsupported protocol: {}", protocol));
      }
      const bool http = protocol == "HTTP" || protocol == "HTTP2" || protocol == "GRPC";
      if (IsDynamic() && !http && protocol != "TLS") {
        Error(issues_, field + ".protocol",
              "must be HTTP, HTTP2, GRPC or TLS for resolution DYNAMIC_DNS");
      }
      routed &= http || protocol == "GRPC-WEB" || protocol == "HTTPS" || protocol == "TLS";
    }
    if (!routed && spec_.hosts_size() > 1 && spec_.resolution() != Spec::NONE) {
      Error(issues_, "spec.hosts",
            "several hosts need ports whose protocol carries the name (HTTP or TLS)");
    }
  }

  void Endpoints() {
    if (spec_.has_workload_selector() && !spec_.endpoints().empty()) {
      Error(issues_, "spec.workloadSelector", "not beside endpoints");
    }
    if (spec_.endpoints().empty()) return;
    if (spec_.resolution() == Spec::NONE || IsDynamic()) {
      Error(
          issues_, "spec.endpoints",
          fmt::format("not allowed for resolution {}", Spec::Resolution_Name(spec_.resolution())));
    }
    if (spec_.resolution() == Spec::DNS_ROUND_ROBIN && spec_.endpoints_size() > 1) {
      Error(issues_, "spec.endpoints", "at most one for resolution DNS_ROUND_ROBIN");
    }
    std::set<std::string> names;
    for (const api::ServiceEntryPort& port : spec_.ports()) names.insert(port.name());
    for (int i = 0; i < spec_.endpoints_size(); ++i) {
      const api::WorkloadEntrySpec& endpoint = spec_.endpoints(i);
      const std::string field = fmt::format("spec.endpoints[{}]", i);
      ValidateEndpoint(endpoint, field, issues_);
      const bool socket = IsUnixSocket(endpoint.address());
      if (spec_.resolution() == Spec::STATIC && !endpoint.address().empty() && !socket &&
          !IpAddress::Parse(endpoint.address())) {
        Error(issues_, field + ".address",
              fmt::format("\"{}\" is no IP address, which resolution STATIC needs",
                          endpoint.address()));
      }
      if (socket && spec_.ports_size() > 1) {
        Error(issues_, field + ".address", "a unix socket serves one port alone");
      }
      for (const auto& [name, port] : endpoint.ports()) {
        if (names.count(name) == 0) {
          Error(issues_, fmt::format("{}.ports.{}", field, name), "no port of this entry");
        }
      }
    }
  }

  const Spec& spec_;
  std::vector<Issue>& issues_;
};

void ValidateProbe(const api::WorkloadGroupProbe& probe, std::vector<Issue>& issues) {
  const std::pair<const char*, int32_t> numbers[] = {
      {"initialDelaySeconds", probe.initial_delay_seconds()},
      {"timeoutSeconds", probe.timeout_seconds()},
      {"periodSeconds", probe.period_seconds()},
      {"successThreshold", probe.success_threshold()},
      {"failureThreshold", probe.failure_threshold()}};
  for (const auto& [name, number] : numbers) {
    if (number < 0) {
      Error(issues, fmt::format("spec.probe.{}", name),
            fmt::format("must not be negative, not {}", number));
    }
  }
  const auto port = [&issues](const char* how, int32_t number) {
    if (IsPort(number)) return;
    Error(issues, fmt::format("spec.probe.{}.port", how),
          fmt::format("must be between 1-65535, not {}", number));
  };
  const int ways =
      probe.has_http_get() + probe.has_tcp_socket() + probe.has_exec() + probe.has_grpc();
  if (ways != 1) {
    Error(issues, "spec.probe",
          fmt::format("must be one of httpGet, tcpSocket, exec and grpc, not {} of them", ways));
  }
  if (probe.has_http_get()) port("httpGet", probe.http_get().port());
  if (probe.has_tcp_socket()) port("tcpSocket", probe.tcp_socket().port());
  if (probe.has_grpc()) port("grpc", probe.grpc().port());
  if (probe.has_exec() && probe.exec().command().empty()) {
    Error(issues, "spec.probe.exec.command", "required");
  }
}

}  // namespace

void ValidateServiceEntry(const api::ServiceEntry& entry, std::vector<Issue>& issues) {
  ServiceEntryValidator(entry.spec(), issues).Run();
}

void ValidateWorkloadEntry(const api::WorkloadEntry& entry, std::vector<Issue>& issues) {
  ValidateEndpoint(entry.spec(), "spec", issues);
}

// What the template holds is checked when an entry is made of it.
void ValidateWorkloadGroup(const api::WorkloadGroup& group, std::vector<Issue>& issues) {
  if (!group.spec().has_template_()) Error(issues, "spec.template", "required");
  for (const auto& [key, value] : group.spec().metadata().labels()) {
    if (!IsLabelKey(key)) {
      Error(issues, "spec.metadata.labels." + key, fmt::format("\"{}\" is no label key", key));
    }
  }
  if (group.spec().has_probe()) ValidateProbe(group.spec().probe(), issues);
}

void ValidateGateway(const api::Gateway& gateway, std::vector<Issue>& issues) {
  std::set<std::string> names;
  if (gateway.spec().gateway_class_name().empty()) {
    Error(issues, "spec.gatewayClassName", "required");
  }
  for (int i = 0; i < gateway.spec().listeners_size(); ++i) {
    const api::GatewayListener& listener = gateway.spec().listeners(i);
    const std::string field = fmt::format("spec.listeners[{}]", i);
    const std::string& protocol = listener.protocol();
    if (!names.insert(listener.name()).second) {
      Error(issues, field + ".name", fmt::format("\"{}\" is defined twice", listener.name()));
    }
    if (!IsPort(listener.port())) {
      Error(issues, field + ".port",
            fmt::format("must be between 1-65535, not {}", listener.port()));
    }
    if (listener.has_tls() && (protocol == "HTTP" || protocol == "TCP" || protocol == "UDP")) {
      Error(issues, field + ".tls", fmt::format("not for protocol {}", protocol));
    }
  }
}

}  // namespace mesh::k8s
