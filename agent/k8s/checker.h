// What validators of several kinds ask of one value. Each check names the field, the value and what
// is wrong with it.
#pragma once

#include <google/protobuf/repeated_field.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/k8s/decode.h"
#include "agent/k8s/labels.h"
#include "proto/api/istio_traffic.pb.h"

namespace mesh::k8s {

using Strings = google::protobuf::RepeatedPtrField<std::string>;

bool IsDomain(std::string_view name);    // labels of letters, digits, '-' and '_', joined by dots
bool IsDnsLabel(std::string_view name);  // DNS-1123
bool IsLabelKey(std::string_view key);
bool IsHeaderName(std::string_view name);
bool IsWildcard(std::string_view host);

class FieldChecker {
 public:
  explicit FieldChecker(std::vector<Issue>& issues) : issues_(issues) {}

  void Error(std::string field, std::string reason);
  void Warn(std::string field, std::string reason);

  // A host: a name, or with a leading wildcard.
  void CheckHost(const std::string& host, const std::string& field);
  void CheckPort(int64_t port, const std::string& field);
  void CheckSubnet(const std::string& subnet, const std::string& field);
  void CheckLabels(const Labels& labels, const std::string& field);
  void CheckNamespace(const std::string& ns, const std::string& field);
  // Not empty: at least a millisecond (or zero, where that means none), in whole milliseconds.
  void CheckDuration(const std::string& text, const std::string& field, bool zero_too = false);
  void CheckRegex(const std::string& regex, const std::string& field);
  void CheckMatch(const api::StringMatch& match, const std::string& field, bool empty_too = false);
  void CheckPercent(double percent, const std::string& field);
  void CheckExportTo(const Strings& values, const std::string& own_ns);
  void CheckHeaderRules(const api::HeaderRules& headers, const std::string& field);

 private:
  void CheckHeaderOperations(const api::HeaderOperations& headers, const std::string& field,
                             bool request);
  void CheckHeaderValue(const std::string& value, const std::string& field);

  std::vector<Issue>& issues_;
};

}  // namespace mesh::k8s
