#include "ztunnel/core/xds/delta_client.h"

#include <fmt/format.h>

#include <algorithm>

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

// Named namespace/hostname; workloads' uids have more slashes.
bool IsService(const Resource& resource) { return std::ranges::count(resource.name(), '/') == 1; }

}  // namespace

DeltaClient::DeltaClient(Options options, ResourceSink& sink)
    : options_(std::move(options)), sink_(sink) {
  addresses_.url = kAddressType;
  addresses_.wildcard = !options_.addresses_on_demand;
  policies_.url = kAuthorizationType;
  for (const std::string& url : options_.more_types) more_.emplace_back().url = url;
}

DeltaClient::Type* DeltaClient::Find(std::string_view url) {
  for (Type* type : {&addresses_, &policies_}) {
    if (type->url == url) return type;
  }
  for (Type& type : more_) {
    if (type.url == url) return &type;
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
    for (auto& [name, demand] : demanded_) versions.insert({name, ""});
  }
  return out;
}

Request DeltaClient::Open() {
  open_ = true;
  addresses_.answered_here = policies_.answered_here = false;
  for (Type& type : more_) type.answered_here = false;
  return FirstRequest(policies_);
}

// Policies that were to end are still held, so the next stream's server hears of them.
void DeltaClient::Close() {
  open_ = asked_ = false;
  ending_.clear();
}

DeltaClient::Outcome DeltaClient::OnResponse(Response& response) {
  Outcome outcome;
  Type* type = Find(response.type_url());
  if (type == nullptr || !open_ || (type != &policies_ && !asked_)) return outcome;
  std::string reasons;
  outcome.accepted.set_type_url(response.type_url());
  Apply(*type, response, outcome, reasons);
  if (!type->answered_here) ForgetUnheard(*type, outcome);
  type->answered = type->answered_here = true;
  if (type == &addresses_) {
    Answered(outcome.arrived);
    EndPolicies(outcome);
  } else if (!std::exchange(asked_, true)) {
    outcome.next.push_back(FirstRequest(addresses_));
    for (Type& more : more_) outcome.next.push_back(FirstRequest(more));
  }
  Request& reply = outcome.reply.emplace();
  reply.set_type_url(response.type_url());
  reply.set_response_nonce(response.nonce());
  if (!reasons.empty()) reply.mutable_error_detail()->set_message(reasons);
  return outcome;
}

void DeltaClient::Apply(Type& type, Response& response, Outcome& outcome, std::string& reasons) {
  // Removed first: a name that is in both lists exists.
  for (const std::string& name : response.removed_resources()) {
    Remove(type, name, outcome.accepted);
    if (!type.wildcard) outcome.arrived.push_back(name);
  }
  const bool with_services =
      std::any_of(response.resources().begin(), response.resources().end(), IsService);
  for (Resource& resource : *response.mutable_resources()) {
    const std::string name = resource.name();
    const absl::Status status =
        name.empty() ? Invalid("resource without a name") : sink_.Upsert(type.url, resource);
    if (!type.wildcard) {
      outcome.arrived.push_back(name);
      outcome.arrived.insert(outcome.arrived.end(), resource.aliases().begin(),
                             resource.aliases().end());
    }
    if (&type == &policies_) ending_.erase(name);
    if (status.ok()) {
      Held& held = type.held[name];
      held.version = resource.version();
      held.current = true;
      held.unheard = false;
      if (!type.wildcard) Bind(resource, with_services);
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

void DeltaClient::Remove(Type& type, const std::string& name, Response& accepted) {
  if (&type == &policies_ && !addresses_.answered_here && type.held.contains(name)) {
    ending_.insert(name);
    return;
  }
  sink_.Remove(type.url, name);
  if (const auto it = type.held.find(name); it != type.held.end()) {
    for (const std::string& demand : it->second.demands) demanded_[demand].resource.clear();
    type.held.erase(it);
  }
  accepted.add_removed_resources(name);
}

// The workloads that listed them have been told of as they are now.
void DeltaClient::EndPolicies(Outcome& outcome) {
  if (ending_.empty()) return;
  outcome.ended.set_type_url(std::string(policies_.url));
  for (const std::string& name : std::exchange(ending_, {})) {
    Remove(policies_, name, outcome.ended);
  }
}

// The first response of a stream holds all that the server was not told of. What it does not name
// is gone: the server cannot say so of a name that it never heard.
void DeltaClient::ForgetUnheard(Type& type, Outcome& outcome) {
  if (!type.wildcard) return;
  std::vector<std::string> gone;
  for (const auto& [name, held] : type.held) {
    if (held.unheard) gone.push_back(name);
  }
  for (const std::string& name : gone) Remove(type, name, outcome.accepted);
}

void DeltaClient::Answered(const std::vector<std::string>& names) {
  if (demanded_.empty()) return;
  for (const std::string& name : names) {
    if (const auto it = demanded_.find(name); it != demanded_.end()) it->second.answered = true;
  }
}

// The names that were asked for and stand for `resource`, which is held. A workload that came
// beside services may be an endpoint of theirs, and is then needed as long as they are.
void DeltaClient::Bind(const Resource& resource, bool with_services) {
  Held& held = addresses_.held[resource.name()];
  bool asked = false;
  const auto bind = [&](const std::string& name) {
    const auto it = demanded_.find(name);
    if (it == demanded_.end()) return;
    asked = asked || !it->second.answered;
    if (it->second.resource == resource.name()) return;
    Unbind(name, it->second);
    it->second.resource = resource.name();
    held.demands.push_back(name);
  };
  bind(resource.name());
  for (const std::string& alias : resource.aliases()) bind(alias);
  if (!asked || (with_services && !IsService(resource))) held.unasked = true;
}

void DeltaClient::Unbind(const std::string& name, Demanding& demand) {
  const auto it = addresses_.held.find(std::exchange(demand.resource, ""));
  if (it != addresses_.held.end()) std::erase(it->second.demands, name);
}

void DeltaClient::ForgetOldest(std::vector<Request>& requests) {
  const std::string name = std::move(demand_order_.front());
  demand_order_.pop_front();
  Request unsubscribe;
  unsubscribe.set_type_url(std::string(kAddressType));
  unsubscribe.add_resource_names_unsubscribe(name);
  const auto demand = demanded_.find(name);
  const std::string resource = demand->second.resource;
  Unbind(name, demand->second);
  demanded_.erase(demand);
  const auto held = addresses_.held.find(resource);
  if (held != addresses_.held.end() && held->second.demands.empty() && !held->second.unasked) {
    if (resource != name) unsubscribe.add_resource_names_unsubscribe(resource);
    released_.set_type_url(std::string(kAddressType));
    Remove(addresses_, resource, released_);
  }
  if (asked_) requests.push_back(std::move(unsubscribe));
}

DeltaClient::Demanded DeltaClient::Demand(const std::string& name, std::vector<Request>& requests) {
  if (addresses_.wildcard) return Demanded::kAnswered;  // everything comes anyway
  if (const auto it = addresses_.held.find(name); it != addresses_.held.end()) {
    return Demanded::kAnswered;
  }
  if (const auto it = demanded_.find(name); it != demanded_.end()) {
    return it->second.answered ? Demanded::kAnswered : Demanded::kPending;
  }
  demanded_[name] = {};
  demand_order_.push_back(name);
  Request request;
  request.set_type_url(std::string(kAddressType));
  request.add_resource_names_subscribe(name);
  if (demanded_.size() > kMaxDemanded) ForgetOldest(requests);
  if (!asked_) return Demanded::kPending;  // the first request of the stream names it
  requests.push_back(std::move(request));
  return Demanded::kAsk;
}

void DeltaClient::Restore(std::string_view type_url, const std::string& name,
                          const std::string& version) {
  Type* type = Find(type_url);
  if (type == nullptr) return;
  // On a stream that is already open the server was not told of it.
  Held held;
  held.version = version;
  held.unheard = open_;
  type->held.insert_or_assign(name, std::move(held));
}

void DeltaClient::RestoreDone() {
  addresses_.answered = policies_.answered = true;
  for (Type& type : more_) type.answered = true;
}

bool DeltaClient::Ready() const {
  for (const Type& type : more_) {
    if (!type.answered) return false;
  }
  return policies_.answered && (!addresses_.wildcard || addresses_.answered);
}

size_t DeltaClient::held(std::string_view type_url) const {
  const Type* type = const_cast<DeltaClient*>(this)->Find(type_url);
  return type == nullptr ? 0 : type->held.size();
}

}  // namespace mesh::xds
