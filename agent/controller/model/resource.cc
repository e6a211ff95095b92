#include "agent/controller/model/resource.h"

#include <fmt/format.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <xxhash.h>

#include <array>

namespace mesh::controller {

namespace {

struct TypeInfo {
  std::string_view name;
  std::string_view url;
};
constexpr std::array<TypeInfo, std::size(kResourceTypes)> kTypes = {
    {{"address", kAddressUrl},
     {"authorization", kAuthorizationUrl},
     {"peer", "type.googleapis.com/mesh.l7.v1.Peer"},
     {"policy", "type.googleapis.com/mesh.l7.v1.Policy"},
     {"authentication", "type.googleapis.com/mesh.l7.v1.Authentication"},
     {"telemetry", "type.googleapis.com/mesh.l7.v1.Telemetry"},
     {"cluster", "type.googleapis.com/mesh.l7.v1.Cluster"},
     {"frontend", "type.googleapis.com/mesh.l7.v1.Frontend"}}};

}  // namespace

std::string_view UrlOf(ResourceType type) { return kTypes[static_cast<size_t>(type)].url; }
std::string_view NameOf(ResourceType type) { return kTypes[static_cast<size_t>(type)].name; }

std::string_view WorkloadBody(const Resource& resource) {
  google::protobuf::io::CodedInputStream input(
      reinterpret_cast<const uint8_t*>(resource.body.data()),
      static_cast<int>(resource.body.size()));
  uint32_t length = 0;
  constexpr uint32_t kWorkload = 1 << 3 | 2;  // field 1, length-delimited
  if (!resource.workload || input.ReadTag() != kWorkload || !input.ReadVarint32(&length)) return {};
  const std::string_view rest =
      std::string_view(resource.body).substr(static_cast<size_t>(input.CurrentPosition()));
  return rest.size() == length ? rest : std::string_view();
}

Resource MakeResource(std::string name, const google::protobuf::Message& message) {
  Resource resource;
  resource.name = std::move(name);
  {
    google::protobuf::io::StringOutputStream stream(&resource.body);
    google::protobuf::io::CodedOutputStream output(&stream);
    output.SetSerializationDeterministic(true);
    message.SerializeToCodedStream(&output);
  }
  resource.version = fmt::format("{:016x}", XXH64(resource.body.data(), resource.body.size(), 0));
  return resource;
}

}  // namespace mesh::controller
