// What an xDS client may send: requests one after the other, each preceded by its length (one byte,
// times four), answered by the session, with changes in between.
#include <cstdint>
#include <string>

#include "agent/controller/xds/resource_index.h"

namespace {

using namespace mesh::controller;

struct State {
  State() : compiler(Settings{}), index(compiler) {
    auto pod = std::make_shared<mesh::api::Pod>();
    pod->mutable_metadata()->set_name("a");
    pod->mutable_metadata()->set_namespace_("shop");
    pod->mutable_spec()->set_node_name("n1");
    pod->mutable_status()->set_pod_ip("10.0.0.1");
    changes = compiler.Apply({{false, mesh::k8s::MakeObject(mesh::k8s::Kind::kPod, pod)}});
    index.Update(changes);
  }
  Compiler compiler;
  ResourceIndex index;
  std::vector<ResourceChange> changes;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const State state;
  DeltaSession session("s", state.index);
  absl::Time now = absl::UnixEpoch();
  while (size > 0) {
    const size_t length = std::min<size_t>(size - 1, data[0] * 4u);
    DeltaSession::Request request;
    if (request.ParseFromArray(data + 1, static_cast<int>(length))) {
      // So that answers are not always stale.
      static std::string nonce;
      if (request.response_nonce() == "?") request.set_response_nonce(nonce);
      if (!session.OnRequest(request).ok()) return 0;
      if (const auto response = session.Next("v", now)) nonce = response->nonce();
    }
    session.OnChanges(state.changes);
    now += absl::Seconds(1);
    session.Statuses();
    data += 1 + length;
    size -= 1 + length;
  }
  return 0;
}
