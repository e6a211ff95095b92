// Routes of connections that are not HTTP: TLS by SNI, TCP by address and client.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ztunnel/base/ip.h"
#include "ztunnel/waypoint/route/request_view.h"

namespace mesh::l7::v1 {
class Frontend;
}

namespace mesh::route {

struct ConnectionView {
  IpAddress destination;              // as the client asked for it
  std::string_view sni;               // empty: not TLS, or without
  std::string_view source_namespace;  // empty: not known
  const Labels* source_labels = nullptr;
};

// Whether all that is wanted is there.
bool MatchesLabels(const std::vector<std::pair<std::string, std::string>>& wanted,
                   const Labels* labels);

struct L4Match {
  std::vector<std::string> sni_hosts;  // none: whatever; lower case, exact or "*.suffix"
  std::vector<IpPrefix> destinations;  // none: any
  std::vector<std::pair<std::string, std::string>> source_labels;
  std::string source_namespace;

  bool Matches(const ConnectionView& connection) const;
};

struct L4Backend {
  std::string cluster;  // empty: unknown
  uint32_t weight = 0;
};

struct L4Route {
  std::string origin;
  std::vector<L4Match> matches;  // any of; none: every connection
  std::vector<L4Backend> backends;
  uint64_t weight_sum = 0;

  bool Matches(const ConnectionView& connection) const;
};

const L4Backend& ChooseBackend(const L4Route& route, uint64_t random);

struct L4Routes {
  std::vector<L4Route> tls, tcp;

  static absl::StatusOr<L4Routes> Compile(const l7::v1::Frontend& frontend);
  bool empty() const { return tls.empty() && tcp.empty(); }
  // TLS routes first (they want an SNI), then TCP routes; null when none takes it.
  const L4Route* Find(const ConnectionView& connection) const;
};

}  // namespace mesh::route
