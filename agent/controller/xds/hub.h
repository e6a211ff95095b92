// All connected node proxies: who they are, what they were sent, and the pushes.
//
// Thread: the controller's. A stream's transport calls in through the CallQueue with the stream's
// id, so that what arrives after its end finds nobody.
#pragma once

#include <absl/status/status.h>
#include <absl/time/time.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "agent/controller/xds/delta_session.h"

namespace mesh::controller {

// The transport of one stream. Exactly one Finish() is the last call on it.
class DeltaStream {
 public:
  virtual ~DeltaStream() = default;
  virtual const DeltaSession::Request& request() const = 0;  // the one that was read
  virtual void ReadNext() = 0;
  virtual void Write(DeltaSession::Response response) = 0;  // one at a time
  virtual void Finish(const absl::Status& status) = 0;
};

struct ClientStatus {
  std::string id;       // of the stream
  std::string node_id;  // as the client named itself
  std::string node;
  std::string pod;
  std::string peer;
  std::string version;
  absl::Time connected;
  uint64_t nacks = 0;
  std::vector<TypeStatus> types;
};

struct HubCounters {
  uint64_t pushes = 0;
  uint64_t responses = 0;
  uint64_t resources_sent = 0;
  uint64_t removed_sent = 0;
  std::map<ResourceType, uint64_t> nacks;
  uint64_t refused_clients = 0;
};

class Hub {
 public:
  static constexpr size_t kMaxClients = 5000;

  Hub(const ResourceView& view, std::string version);

  void Open(const std::string& id, DeltaStream& stream, const std::string& peer, absl::Time now);
  void OnRequest(const std::string& id, absl::Time now);
  void OnWritten(const std::string& id, bool ok, absl::Time now);
  void Close(const std::string& id, const absl::Status& status);
  void CloseAll(const absl::Status& status);

  // What changed is told by the next push, or earlier beside what a client is told anyway: it reads
  // the state as it is, and must not see a workload's new list of policies without the policies.
  void Stage(const std::vector<ResourceChange>& changes);
  void Push(const std::string& version, absl::Time now);
  // Clients that did not acknowledge in time are given what waits for them; to be called now and
  // then.
  void Tick(absl::Time now);

  std::vector<ClientStatus> Clients() const;
  size_t client_count() const { return clients_.size(); }
  const HubCounters& counters() const { return counters_; }
  const std::string& version() const { return version_; }

 private:
  struct Client {
    Client(const std::string& id, const ResourceView& view, DeltaStream& s)
        : session(id, view), stream(s) {}
    DeltaSession session;
    DeltaStream& stream;
    bool writing = false;
    std::string peer;
    absl::Time connected;
  };
  void Flush(Client& client, absl::Time now);

  const ResourceView& view_;
  std::string version_;
  std::map<std::string, std::unique_ptr<Client>> clients_;
  size_t staged_ = 0;  // changes since the last push
  HubCounters counters_;
};

}  // namespace mesh::controller
