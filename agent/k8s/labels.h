// Label selection.
#pragma once

#include <google/protobuf/map.h>

#include <string>

namespace mesh::k8s {

using Labels = google::protobuf::Map<std::string, std::string>;

inline constexpr char kServiceNameLabel[] = "kubernetes.io/service-name";  // of an EndpointSlice
inline constexpr char kGatewayNameLabel[] =
    "gateway.networking.k8s.io/gateway-name";  // of a Gateway's own pods

// All of `selector` are among `labels`. An empty selector matches everything; callers for whom it
// matches nothing (a Service) ask first.
inline bool Matches(const Labels& selector, const Labels& labels) {
  for (const auto& [key, value] : selector) {
    const auto it = labels.find(key);
    if (it == labels.end() || it->second != value) return false;
  }
  return true;
}

// The value of a label or annotation; empty when absent.
inline const std::string& ValueOf(const Labels& labels, const std::string& key) {
  static const std::string kNone;
  const auto it = labels.find(key);
  return it == labels.end() ? kNone : it->second;
}

}  // namespace mesh::k8s
