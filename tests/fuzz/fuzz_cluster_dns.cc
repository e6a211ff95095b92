// The name server of local mode: whatever a pod asks, from the message to the answer.
#include <cstdint>
#include <cstdlib>

#include "tools/meshctl/dns/zone.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace mesh::dns;
  static const auto* catalog = [] {
    auto* made = new mesh::k8s::ServiceCatalog();
    for (const char* text :
         {R"({"apiVersion":"v1","kind":"Service","metadata":{"name":"web","namespace":"shop"},
              "spec":{"clusterIP":"10.96.7.1","ports":[{"port":80}]}})",
          R"({"apiVersion":"v1","kind":"Service","metadata":{"name":"alias","namespace":"shop"},
              "spec":{"type":"ExternalName","externalName":"web.shop.svc.cluster.local"}})"}) {
      std::vector<mesh::k8s::Issue> issues;
      made->Apply({{.object = *mesh::k8s::DecodeObject(*mesh::k8s::FromText(text), issues)}});
    }
    return made;
  }();
  const mesh::local::Zone zone(*catalog);
  const Bytes message(reinterpret_cast<const std::byte*>(data), size);
  const auto query = ParseQuery(message);
  if (!query.ok()) return 0;
  const mesh::local::ZoneAnswer found = zone.Resolve(query->name, query->type);
  if (found.forward) return 0;
  const std::string reply = BuildAnswer(message, *query, found.answer, query->UdpLimit());
  if (!Answers(std::as_bytes(std::span(reply)), message, *query)) std::abort();
  return 0;
}
