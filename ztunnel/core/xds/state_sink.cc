#include "ztunnel/core/xds/state_sink.h"

#include "proto/authorization.pb.h"
#include "proto/workload.pb.h"
#include "ztunnel/base/log.h"
#include "ztunnel/base/status.h"

namespace mesh::xds {

absl::Status StateSink::Upsert(std::string_view type_url, const Resource& resource) {
  if (more_ != nullptr && type_url != kAddressType && type_url != kAuthorizationType) {
    return more_->Upsert(type_url, resource);
  }
  if (resource.resource().type_url() != type_url) {
    return Invalid("resource of type {}", Quoted(resource.resource().type_url()));
  }
  const std::string& body = resource.resource().value();
  if (type_url == kAddressType) {
    istio::workload::Address address;
    if (!address.ParseFromString(body)) return Invalid("{} bytes are no Address", body.size());
    return store_.UpsertAddress(resource.name(), address);
  }
  istio::security::Authorization policy;
  if (!policy.ParseFromString(body)) return Invalid("{} bytes are no Authorization", body.size());
  return store_.UpsertPolicy(resource.name(), policy);
}

void StateSink::Remove(std::string_view type_url, std::string_view name) {
  if (type_url == kAddressType) {
    store_.RemoveAddress(name);
  } else if (type_url == kAuthorizationType) {
    store_.RemovePolicy(name);
  } else if (more_ != nullptr) {
    more_->Remove(type_url, name);
  }
}

}  // namespace mesh::xds
