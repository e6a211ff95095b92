// What waypoints are told of the objects in tests/data/golden: KIND/CASE.yaml over base.yaml gives
// KIND/CASE.txt, the resources that are new or different, and conditions.
//
// MESH_GOLDEN_OUT=DIR writes what came out to DIR/KIND/CASE.txt, for a look and a copy.
#include <fmt/format.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "agent/controller/model/compiler.h"
#include "agent/k8s/manifest.h"
#include "proto/authorization.pb.h"
#include "proto/l7_cluster.pb.h"
#include "proto/l7_frontend.pb.h"
#include "proto/l7_policy.pb.h"
#include "proto/l7_telemetry.pb.h"
#include "proto/workload.pb.h"
#include "ztunnel/base/files.h"

namespace mesh::controller {
namespace {

namespace fs = std::filesystem;
namespace l7 = mesh::l7::v1;

fs::path DataDir() { return fs::path(MESH_SOURCE_DIR) / "tests/data/golden"; }

std::unique_ptr<google::protobuf::Message> NewMessage(ResourceType type) {
  switch (type) {
    case ResourceType::kAddress:
      return std::make_unique<istio::workload::Address>();
    case ResourceType::kAuthorization:
      return std::make_unique<istio::security::Authorization>();
    case ResourceType::kPeer:
      return std::make_unique<l7::Peer>();
    case ResourceType::kPolicy:
      return std::make_unique<l7::Policy>();
    case ResourceType::kAuthentication:
      return std::make_unique<l7::Authentication>();
    case ResourceType::kTelemetry:
      return std::make_unique<l7::Telemetry>();
    case ResourceType::kCluster:
      return std::make_unique<l7::Cluster>();
    case ResourceType::kFrontend:
      return std::make_unique<l7::Frontend>();
  }
  return nullptr;
}

std::string TextOf(ResourceType type, const Resource& resource) {
  const auto message = NewMessage(type);
  EXPECT_TRUE(message->ParseFromString(resource.body));
  std::string text;
  google::protobuf::TextFormat::PrintToString(*message, &text);
  return text;
}

std::vector<k8s::Event> Load(const fs::path& path) {
  std::vector<k8s::Event> events;
  const k8s::CheckedManifest checked = k8s::CheckManifest(path, ReadFileOr(path));
  for (const k8s::Problem& problem : checked.problems) {
    EXPECT_EQ(problem.level, k8s::Level::kWarning) << problem.ToString();
  }
  for (const auto& [entry, object] : checked.objects) events.push_back({false, object});
  EXPECT_FALSE(events.empty()) << path;
  return events;
}

using Snapshot = std::map<ResourceType, Compiler::Resources>;

Snapshot Taken(const Compiler& compiler) {
  Snapshot snapshot;
  for (const ResourceType type : kResourceTypes) snapshot[type] = compiler.resources(type);
  return snapshot;
}

// "# TYPE NAME" and the resource, for each that is new or different; "# gone TYPE NAME".
std::string Changes(const Snapshot& before, const Snapshot& after) {
  std::string text;
  for (const ResourceType type : kResourceTypes) {
    for (const auto& [name, resource] : after.at(type)) {
      const auto old = before.at(type).find(name);
      if (old != before.at(type).end() && old->second->version == resource->version) continue;
      text += fmt::format("# {} {}\n{}", NameOf(type), name, TextOf(type, *resource));
    }
    for (const auto& [name, resource] : before.at(type)) {
      if (!after.at(type).contains(name)) text += fmt::format("# gone {} {}\n", NameOf(type), name);
    }
  }
  return text;
}

// A compiler whose own objects and addresses of gateways come back to it as events.
class Mesh {
 public:
  explicit Mesh(const Settings& settings) : compiler_(settings) {}

  void Apply(std::vector<k8s::Event> events) {
    while (!events.empty()) {
      for (const k8s::Event& event : events) {
        if (event.object.As<api::Gateway>() != nullptr) gateways_[event.object.key()] = event;
      }
      compiler_.Apply(events);
      events.clear();
      for (const auto& [key, json] : compiler_.TakeObjects()) {
        objects_ += fmt::format("# object {}{}\n", key.ToString(), json.empty() ? " gone" : "");
        if (json.empty()) {
          events.push_back({true, made_.extract(key).mapped()});
          continue;
        }
        for (auto& [entry, object] : k8s::CheckManifest("made", json).objects) {
          made_[key] = object;
          events.push_back({false, std::move(object)});
        }
      }
      for (const auto& [key, status] : compiler_.TakeStatuses()) {
        statuses_[key] = status;
        const auto* gateway = gateways_[key].object.As<api::Gateway>();
        if (gateway == nullptr || status.gateway_addresses.empty() ||
            !gateway->status().addresses().empty()) {
          continue;
        }
        auto copy = std::make_shared<api::Gateway>(*gateway);
        *copy->mutable_status()->add_addresses() = status.gateway_addresses.front();
        events.push_back({false, k8s::MakeObject(k8s::Kind::kGateway, std::move(copy))});
      }
    }
  }

  const Compiler& compiler() const { return compiler_; }
  // What was made and told since the last time.
  std::string TakeObjects() { return std::exchange(objects_, {}); }
  std::map<k8s::Key, ObjectStatus> TakeStatuses() { return std::exchange(statuses_, {}); }

 private:
  Compiler compiler_;
  std::map<k8s::Key, k8s::Event> gateways_;
  std::map<k8s::Key, k8s::Object> made_;
  std::string objects_;
  std::map<k8s::Key, ObjectStatus> statuses_;
};

// Also "# status OBJECT" for each condition that was told.
std::string Outcome(const Settings& settings, const std::vector<k8s::Event>& base,
                    const std::vector<k8s::Event>& added) {
  Mesh mesh(settings);
  mesh.Apply(base);
  mesh.TakeObjects();
  mesh.TakeStatuses();
  const Snapshot before = Taken(mesh.compiler());
  mesh.Apply(added);
  std::string text = mesh.TakeObjects() + Changes(before, Taken(mesh.compiler()));
  for (const auto& [key, status] : mesh.TakeStatuses()) {
    for (const api::Condition& condition : status.conditions) {
      text += fmt::format("# status {}: {}={} {}: {}\n", key.ToString(), condition.type(),
                          condition.status(), condition.reason(), condition.message());
    }
  }
  return text;
}

// As a local mesh has them; waypoints come unasked in the cases of that kind alone.
Settings SettingsFor(const std::string& name) {
  Settings settings;
  settings.selector_policies_at_waypoints = true;
  settings.manage_waypoints = settings.auto_waypoints = name.rfind("auto/", 0) == 0;
  return settings;
}

std::vector<std::string> AllCases() {
  std::vector<std::string> names;
  for (const auto& kind : fs::directory_iterator(DataDir())) {
    if (!kind.is_directory()) continue;
    for (const auto& file : fs::directory_iterator(kind.path())) {
      if (file.path().extension() != ".yaml") continue;
      names.push_back(kind.path().filename().string() + "/" + file.path().stem().string());
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}

class GoldenTest : public testing::TestWithParam<std::string> {};

TEST_P(GoldenTest, IsCompiledAsWritten) {
  const std::string text = Outcome(SettingsFor(GetParam()), Load(DataDir() / "base.yaml"),
                                   Load(DataDir() / (GetParam() + ".yaml")));
  if (const char* out = std::getenv("MESH_GOLDEN_OUT")) {
    const fs::path path = fs::path(out) / (GetParam() + ".txt");
    fs::create_directories(path.parent_path());
    ASSERT_TRUE(WriteFile(path, text, 0644).ok());
  }
  EXPECT_EQ(ReadFileOr(DataDir() / (GetParam() + ".txt")), text);
}

// One object at a time, in the reverse order, must come to the same state as all at once; and when
// all objects are gone nothing is left.
TEST_P(GoldenTest, IsTheSameWhenItComesPieceByPiece) {
  std::vector<k8s::Event> events = Load(DataDir() / "base.yaml");
  const std::vector<k8s::Event> added = Load(DataDir() / (GetParam() + ".yaml"));
  events.insert(events.end(), added.begin(), added.end());
  Mesh whole(SettingsFor(GetParam()));
  whole.Apply(events);
  Mesh pieces(SettingsFor(GetParam()));
  for (auto event = events.rbegin(); event != events.rend(); ++event) pieces.Apply({*event});
  EXPECT_EQ(Changes(Taken(whole.compiler()), Taken(pieces.compiler())), "");
  for (const k8s::Event& event : events) pieces.Apply({{true, event.object}});
  for (const ResourceType type : kResourceTypes) {
    EXPECT_TRUE(pieces.compiler().resources(type).empty()) << NameOf(type);
  }
}

INSTANTIATE_TEST_SUITE_P(Golden, GoldenTest, testing::ValuesIn(AllCases()), [](const auto& param) {
  std::string name = param.param;
  for (char& c : name) {
    if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
  }
  return name;
});

}  // namespace
}  // namespace mesh::controller
