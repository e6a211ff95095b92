// Manifests: YAML and JSON, decoded, validated and compiled.
#include <cstdint>
#include <string_view>

#include "agent/controller/model/compiler.h"
#include "agent/k8s/manifest.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace mesh;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  std::vector<k8s::Event> events;
  for (auto& [entry, object] : k8s::CheckManifest("fuzz", text).objects) {
    events.push_back({false, std::move(object)});
  }
  controller::Compiler compiler{controller::Settings{}};
  compiler.Apply(events);
  for (k8s::Event& event : events) event.deleted = true;
  compiler.Apply(events);
  return 0;
}
