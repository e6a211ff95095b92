#include "agent/controller/xds/hub.h"

#include "ztunnel/base/log.h"
#include "ztunnel/base/status.h"

namespace mesh::controller {

Hub::Hub(const ResourceView& view, std::string version)
    : view_(view), version_(std::move(version)) {}

void Hub::Open(const std::string& id, DeltaStream& stream, const std::string& peer,
               absl::Time now) {
  if (clients_.size() >= kMaxClients) {
    ++counters_.refused_clients;
    stream.Finish(ResourceExhausted("more than {} clients", kMaxClients));
    return;
  }
  auto client = std::make_unique<Client>(id, view_, stream);
  client->peer = peer;
  client->connected = now;
  clients_.emplace(id, std::move(client));
  stream.ReadNext();
}

void Hub::OnRequest(const std::string& id, absl::Time now) {
  const auto it = clients_.find(id);
  if (it == clients_.end()) return;
  Client& client = *it->second;
  const bool first = client.session.node_id().empty();
  const DeltaSession::Request& request = client.stream.request();
  if (const absl::Status status = client.session.OnRequest(request); !status.ok()) {
    Logger("xds")->warn("client refused peer={} err={}", client.peer, Describe(status));
    return Close(id, status);
  }
  if (first) {
    Logger("xds")->info("client connected id={} node={} peer={}", Quoted(client.session.node_id()),
                        Quoted(client.session.node_name()), client.peer);
  }
  if (request.has_error_detail()) {
    for (const ResourceType type : kResourceTypes) {
      if (request.type_url() == UrlOf(type)) ++counters_.nacks[type];
    }
    if (request.type_url() == kWorkloadUrl) ++counters_.nacks[ResourceType::kAddress];
    Logger("xds")->warn("client rejected resources node={} type={} err={}",
                        Quoted(client.session.node_name()), Quoted(request.type_url()),
                        Quoted(request.error_detail().message()));
  }
  client.stream.ReadNext();
  Flush(client, now);
}

void Hub::OnWritten(const std::string& id, bool ok, absl::Time now) {
  const auto it = clients_.find(id);
  if (it == clients_.end()) return;
  it->second->writing = false;
  if (!ok) return Close(id, Unavailable("the client went away"));
  Flush(*it->second, now);
}

void Hub::Close(const std::string& id, const absl::Status& status) {
  const auto it = clients_.find(id);
  if (it == clients_.end()) return;
  Logger("xds")->info("client gone node={} peer={}", Quoted(it->second->session.node_name()),
                      it->second->peer);
  DeltaStream& stream = it->second->stream;
  clients_.erase(it);
  stream.Finish(status);
}

void Hub::CloseAll(const absl::Status& status) {
  while (!clients_.empty()) Close(std::string(clients_.begin()->first), status);
}

void Hub::Stage(const std::vector<ResourceChange>& changes) {
  staged_ += changes.size();
  for (auto& [id, client] : clients_) client->session.OnChanges(changes);
}

void Hub::Push(const std::string& version, absl::Time now) {
  version_ = version;
  ++counters_.pushes;
  for (auto& [id, client] : clients_) Flush(*client, now);
  Logger("xds")->info("pushed version={} changes={} clients={}", version, staged_, clients_.size());
  staged_ = 0;
}

void Hub::Tick(absl::Time now) {
  for (auto& [id, client] : clients_) Flush(*client, now);
}

void Hub::Flush(Client& client, absl::Time now) {
  if (client.writing) return;
  std::optional<DeltaSession::Response> response = client.session.Next(version_, now);
  if (!response) return;
  ++counters_.responses;
  counters_.resources_sent += response->resources_size();
  counters_.removed_sent += response->removed_resources_size();
  client.writing = true;
  client.stream.Write(*std::move(response));
}

std::vector<ClientStatus> Hub::Clients() const {
  std::vector<ClientStatus> all;
  for (const auto& [id, client] : clients_) {
    const DeltaSession& session = client->session;
    all.push_back({id, session.node_id(), session.node_name(), session.pod_name(), client->peer,
                   session.client_version(), client->connected, session.nacks(),
                   session.Statuses()});
  }
  return all;
}

}  // namespace mesh::controller
