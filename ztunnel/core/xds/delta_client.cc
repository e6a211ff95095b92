#include "ztunnel/core/xds/delta_client.h"

#include <fmt/format.h>

#include "ztunnel/base/status.h"

namespace mesh::xds {
namespace {

constexpr size_t kMaxReasonBytes = 4096;

void AddReason(std::string& reasons, std::string_view name, std::string_view reason) {
  if (reasons.size() > kMaxReasonBytes) return;
  if (!reasons.empty()) reasons += "; ";
  reasons += fmt::format("{}: {}", name, reason);
  if (reasons.size() > kMaxReasonBytes) reasons += "; and more";
}

}  // namespace

DeltaClient::DeltaClient(Options options, ResourceSink& sink)
    : options_(std::move(options)), sink_(sink) {
  addresses_.url = kAddressType;
  addresses_.wildcard = !options_.addresses_on_demand;
  policies_.url = kAuthorizationType;
}

DeltaClient::Type* DeltaClient::Find(std::string_view url) {
  for (Type* type : {&addresses_, &policies_}) {
    if (type->url == url) return type;
  }
  return nullptr;
}

Request DeltaClient::FirstRequest(Type& type) {
  Request out;
  *out.mutable_node() = options_.node;
  out.set_type_url(std::string(type.url));
  if (!type.wildcard) {  // both together: subscribed to nothing
    out.add_resource_names_subscribe("*");
    out.add_resource_names_unsubscribe("*");
  }
  auto& versions = *out.mutable_initial_resource_versions();
  for (auto& [name, held] : type.held) {
    held.unheard = !held.current;
    if (held.current) versions[name] = held.version;
  }
  if (!type.wildcard) {
    for (auto& [name, answered] : demanded_) versions.insert({name, ""});
  }
  return out;
}

std::vector<Request> DeltaClient::Open() {
  open_ = true;
  addresses_.answered_here = policies_.answered_here = false;
  return {FirstRequest(addresses_), FirstRequest(policies_)};
}

void DeltaClient::Close() { open_ = false; }

DeltaClient::Outcome DeltaClient::OnResponse(Response& response) {
  Outcome outcome;
  Type* type = Find(response.type_url());
  if (type == nullptr || !open_) return outcome;
  std::string reasons;
  outcome.accepted.set_type_url(response.type_url());
  Apply(*type, response, outcome, reasons);
  if (!type->answered_here) ForgetUnheard(*type, outcome);
  type->answered = type->answered_here = true;
  if (type == &addresses_) Answered(outcome.arrived);
  Request& reply = outcome.reply.emplace();
  reply.set_type_url(response.type_url());
  reply.set_response_nonce(response.nonce());
  if (!reasons.empty()) reply.mutable_error_detail()->set_message(reasons);
  return outcome;
}

void DeltaClient::Apply(Type& type, Response& response, Outcome& outcome, std::string& reasons) {
  // Removed first: a name that is in both lists exists.
  for (const std::string& name : response.removed_resources()) {
    sink_.Remove(type.url, name);
    type.held.erase(name);
    outcome.accepted.add_removed_resources(name);
    if (!type.wildcard) outcome.arrived.push_back(name);
  }
  for (Resource& resource : *response.mutable_resources()) {
    const std::string name = resource.name();
    const absl::Status status =
        name.empty() ? Invalid("resource without a name") : sink_.Upsert(type.url, resource);
    if (!type.wildcard) {
      outcome.arrived.push_back(name);
      outcome.arrived.insert(outcome.arrived.end(), resource.aliases().begin(),
                             resource.aliases().end());
    }
    if (status.ok()) {
      type.held.insert_or_assign(name, Held{resource.version(), true, false});
      *outcome.accepted.add_resources() = std::move(resource);
      continue;
    }
    ++outcome.rejected;
    AddReason(reasons, name, MessageOf(status));
    if (const auto it = type.held.find(name); it != type.held.end()) {
      it->second.current = it->second.unheard = false;
    }
  }
}

// The first response of a stream holds all that the server was not told of. What it does not name
// is gone: the server cannot say so of a name that it never heard.
void DeltaClient::ForgetUnheard(Type& type, Outcome& outcome) {
  if (!type.wildcard) return;
  for (auto it = type.held.begin(); it != type.held.end();) {
    if (!it->second.unheard) {
      ++it;
      continue;
    }
    sink_.Remove(type.url, it->first);
    outcome.accepted.add_removed_resources(it->first);
    it = type.held.erase(it);
  }
}

void DeltaClient::Answered(const std::vector<std::string>& names) {
  if (demanded_.empty()) return;
  for (const std::string& name : names) {
    if (const auto it = demanded_.find(name); it != demanded_.end()) it->second = true;
  }
}

DeltaClient::Demanded DeltaClient::Demand(const std::string& name, std::vector<Request>& requests) {
  if (addresses_.wildcard) return Demanded::kAnswered;  // everything comes anyway
  if (const auto it = addresses_.held.find(name); it != addresses_.held.end()) {
    return Demanded::kAnswered;
  }
  if (const auto it = demanded_.find(name); it != demanded_.end()) {
    return it->second ? Demanded::kAnswered : Demanded::kPending;
  }
  demanded_[name] = false;
  demand_order_.push_back(name);
  Request request;
  request.set_type_url(std::string(kAddressType));
  request.add_resource_names_subscribe(name);
  if (demanded_.size() > kMaxDemanded) {
    demanded_.erase(demand_order_.front());
    Request unsubscribe;
    unsubscribe.set_type_url(std::string(kAddressType));
    unsubscribe.add_resource_names_unsubscribe(demand_order_.front());
    demand_order_.pop_front();
    if (open_) requests.push_back(std::move(unsubscribe));
  }
  if (!open_) return Demanded::kPending;  // the next stream's first request names it
  requests.push_back(std::move(request));
  return Demanded::kAsk;
}

void DeltaClient::Restore(std::string_view type_url, const std::string& name,
                          const std::string& version) {
  Type* type = Find(type_url);
  if (type == nullptr) return;
  // On a stream that is already open the server was not told of it.
  type->held.insert_or_assign(name, Held{version, true, open_});
}

bool DeltaClient::Ready() const {
  return policies_.answered && (!addresses_.wildcard || addresses_.answered);
}

size_t DeltaClient::held(std::string_view type_url) const {
  return type_url == addresses_.url  ? addresses_.held.size()
         : type_url == policies_.url ? policies_.held.size()
                                     : 0;
}

}  // namespace mesh::xds
