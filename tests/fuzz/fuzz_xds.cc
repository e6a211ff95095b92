// Whatever a control plane sends: a response is applied or refused by name, and the state stays
// whole. The first byte picks the form: a whole response, or the body of one Address or
// Authorization.
#include <cstdint>
#include <string>

#include "ztunnel/base/ip.h"
#include "ztunnel/base/status.h"
#include "ztunnel/core/authz/policy.h"
#include "ztunnel/core/xds/state_sink.h"

namespace {

using namespace mesh;

xds::Response FromBytes(uint8_t form, const std::string& bytes) {
  xds::Response response;
  if (form % 3 == 0) {
    response.ParseFromString(bytes);
    return response;
  }
  response.set_type_url(std::string(form % 3 == 1 ? xds::kAddressType : xds::kAuthorizationType));
  xds::Resource& resource = *response.add_resources();
  resource.mutable_resource()->set_type_url(response.type_url());
  resource.mutable_resource()->set_value(bytes);
  // The name must be the body's own; a resource under another name is refused early.
  state::StateStore probe;
  resource.set_name("?");
  const std::string error(MessageOf(xds::StateSink(probe).Upsert(response.type_url(), resource)));
  constexpr std::string_view kPrefix = "resource ? holds ";
  if (error.starts_with(kPrefix)) resource.set_name(error.substr(kPrefix.size()));
  return response;
}

void LookEverywhere(const state::MeshState& state) {
  for (const auto& w : state.Workloads()) {
    if (state.FindWorkloadByUid(w->uid) != w) __builtin_trap();
    for (const auto& ip : w->addresses) state.FindByAddress(w->network, ip);
    authz::Check(state.PoliciesFor(*w), {w->Identity(), {}, {}, 80});
  }
  for (const auto& s : state.Services()) {
    if (state.FindService(s->ns, s->hostname) != s) __builtin_trap();
    for (const auto& vip : s->vips) state.FindServiceByVip(vip.network, vip.ip, s->ns);
    state.Endpoints(*s);
  }
  state.StagedEndpoints();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  xds::Response response =
      FromBytes(data[0], std::string(reinterpret_cast<const char*>(data) + 1, size - 1));
  state::StateStore store;
  xds::StateSink sink(store);
  xds::DeltaClient client({}, sink);
  client.Open();
  xds::Response policies;  // comes first on every stream
  policies.set_type_url(std::string(xds::kAuthorizationType));
  client.OnResponse(policies);
  for (int i = 0; i < 2; ++i) {  // once more: an update of everything
    xds::Response copy = response;
    client.OnResponse(copy);
    LookEverywhere(*store.Publish());
  }
  for (const auto& resource : response.resources())
    sink.Remove(response.type_url(), resource.name());
  LookEverywhere(*store.Publish());
  return 0;
}
