// Every resource that the reference control plane was recorded to send is taken as it is: nothing
// that the checks of decoding refuse is something that it says.
#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/json_util.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "proto/authorization.pb.h"
#include "proto/workload.pb.h"
#include "ztunnel/core/state/mesh_state.h"

namespace mesh::state {
namespace {

namespace json = google::protobuf::util;

// Calls `fn(name, resource as JSON)` for each of `list`.
template <typename Fn>
void ForEach(const google::protobuf::Struct& file, const char* list, Fn fn) {
  const auto it = file.fields().find(list);
  if (it == file.fields().end()) return;
  for (const auto& value : it->second.list_value().values()) {
    const auto& fields = value.struct_value().fields();
    std::string text;
    ASSERT_TRUE(json::MessageToJsonString(fields.at("resource"), &text).ok());
    fn(fields.at("name").string_value(), text);
  }
}

TEST(Recorded, ResourcesOfTheReferenceAreTaken) {
  int taken = 0;
  for (const auto& folder : std::filesystem::directory_iterator(MESH_RECORDED)) {
    std::stringstream text;
    text << std::ifstream(folder.path() / "expected.json").rdbuf();
    google::protobuf::Struct file;
    ASSERT_TRUE(json::JsonStringToMessage(text.str(), &file).ok()) << folder.path();
    StateStore store;
    ForEach(file, "addresses", [&](const std::string& name, const std::string& body) {
      istio::workload::Address address;
      ASSERT_TRUE(json::JsonStringToMessage(body, &address).ok()) << name << body;
      const absl::Status status = store.UpsertAddress(name, address);
      EXPECT_TRUE(status.ok()) << folder.path() << " " << name << ": " << status;
      ++taken;
    });
    ForEach(file, "authorizations", [&](const std::string& name, const std::string& body) {
      istio::security::Authorization policy;
      ASSERT_TRUE(json::JsonStringToMessage(body, &policy).ok()) << name << body;
      const absl::Status status = store.UpsertPolicy(name, policy);
      EXPECT_TRUE(status.ok()) << folder.path() << " " << name << ": " << status;
      ++taken;
    });
    store.Publish();
  }
  EXPECT_GT(taken, 100);
}

}  // namespace
}  // namespace mesh::state
