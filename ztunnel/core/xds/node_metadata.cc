#include "ztunnel/core/xds/node_metadata.h"

#include <fmt/format.h>
#include <google/protobuf/util/json_util.h>

#include "ztunnel/base/log.h"

namespace mesh::xds {
namespace {

constexpr std::string_view kText = "ISTIO_META_";
constexpr std::string_view kJson = "ISTIO_METAJSON_";

void AddEnvironment(const std::map<std::string, std::string>& environment,
                    google::protobuf::Struct& metadata) {
  for (const auto& [name, value] : environment) {
    if (name.starts_with(kText)) {
      (*metadata.mutable_fields())[name.substr(kText.size())].set_string_value(value);
    } else if (name.starts_with(kJson)) {
      google::protobuf::Value parsed;
      if (google::protobuf::util::JsonStringToMessage(value, &parsed).ok()) {
        (*metadata.mutable_fields())[name.substr(kJson.size())] = std::move(parsed);
      } else {
        Logger("xds")->warn("environment variable is no JSON and is left out name={}", name);
      }
    }
  }
}

}  // namespace

envoy::service::discovery::v3::Node MakeNode(const NodeInfo& info) {
  const std::string ip = info.instance_ip.empty() ? "1.1.1.1" : info.instance_ip;
  envoy::service::discovery::v3::Node node;
  node.set_id(fmt::format("{}~{}~{}.{}~{}.svc.cluster.local", info.kind, ip, info.pod_name,
                          info.pod_namespace, info.pod_namespace));
  AddEnvironment(info.environment, *node.mutable_metadata());
  const auto set = [&](const char* key, const std::string& value) {
    if (!value.empty()) (*node.mutable_metadata()->mutable_fields())[key].set_string_value(value);
  };
  set("NAME", info.pod_name);
  set("NAMESPACE", info.pod_namespace);
  set("INSTANCE_IPS", ip);
  set("NODE_NAME", info.node_name);
  set("SERVICE_ACCOUNT", info.service_account);
  set("CLUSTER_ID", info.cluster_id);
  set("NETWORK", info.network);
  return node;
}

}  // namespace mesh::xds
