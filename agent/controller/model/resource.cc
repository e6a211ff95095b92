#include "agent/controller/model/resource.h"

#include <fmt/format.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <xxhash.h>

namespace mesh::controller {

std::string_view UrlOf(ResourceType type) {
  return type == ResourceType::kAddress ? kAddressUrl : kAuthorizationUrl;
}

std::string_view NameOf(ResourceType type) {
  return type == ResourceType::kAddress ? "address" : "authorization";
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
