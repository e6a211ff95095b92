#include "tools/meshctl/context.h"

#include <fmt/format.h>

#include "tools/meshctl/json.h"
#include "tools/meshctl/output.h"
#include "tools/meshctl/yaml.h"
#include "ztunnel/base/status.h"

namespace mesh::meshctl {

bool Context::Load(local::Config& config) const {
  auto loaded = local::Config::Load(layout);
  if (loaded.ok()) {
    config = *std::move(loaded);
    return true;
  }
  PrintErr(
      fmt::format("meshctl: {}; `meshctl local up` starts one, --name or MESH_NAME names another",
                  MessageOf(loaded.status())));
  return false;
}

void PrintValue(const Context& context, const Json& value) {
  Print(context.output == Output::kYaml ? ToYaml(value) : value.Dump(true) + "\n");
}

}  // namespace mesh::meshctl
