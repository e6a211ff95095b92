// The recorded answers of the reference to our inputs (tests/data/ambient), resource by resource
// and field by field.
#include <google/protobuf/util/json_util.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <set>

#include "agent/controller/model/compiler.h"
#include "agent/k8s/manifest.h"
#include "proto/authorization.pb.h"
#include "proto/workload.pb.h"
#include "ztunnel/base/files.h"

namespace mesh::controller {
namespace {

namespace fs = std::filesystem;
using k8s::Json;

fs::path DataDir() { return fs::path(MESH_SOURCE_DIR) / "tests/data/ambient"; }

const Json& At(const Json& json, const char* name) {
  static const Json kNone;
  const Json* member = k8s::Member(json, name);
  return member != nullptr ? *member : kNone;
}

// Order counts everywhere but in groups and clauses that are sets by meaning and in a workload's
// policies.
template <typename T>
std::string Difference(const T& expected, const T& actual) {
  google::protobuf::util::MessageDifferencer differ;
  std::string report;
  differ.ReportDifferencesToString(&report);
  differ.TreatAsSet(istio::security::Group::descriptor()->FindFieldByName("rules"));
  differ.TreatAsSet(istio::security::Authorization::descriptor()->FindFieldByName("groups"));
  differ.TreatAsSet(
      istio::workload::Workload::descriptor()->FindFieldByName("authorization_policies"));
  return differ.Compare(expected, actual) ? "" : report;
}

template <typename T>
void Compare(const Json& expected, const Compiler::Resources& actual) {
  std::set<std::string> names;
  for (const Json& item : expected.list_value().values()) {
    const std::string name = k8s::StringMember(item, "name");
    SCOPED_TRACE(name);
    names.insert(name);
    T wanted;
    ASSERT_TRUE(
        google::protobuf::util::JsonStringToMessage(k8s::ToText(At(item, "resource")), &wanted)
            .ok());
    const auto found = actual.find(name);
    if (found == actual.end()) {
      ADD_FAILURE() << "missing";
      continue;
    }
    T got;
    ASSERT_TRUE(got.ParseFromString(found->second->body));
    EXPECT_EQ(Difference(wanted, got), "");
  }
  for (const auto& [name, resource] : actual) EXPECT_EQ(names.count(name), 1u) << "extra " << name;
}

struct Case {
  std::vector<k8s::Event> events;
  Settings settings;
};

Case Load(const std::string& name) {
  Case loaded;
  const fs::path path = DataDir() / name / "cluster.json";
  k8s::CheckedManifest checked = k8s::CheckManifest(path, ReadFileOr(path));
  for (const k8s::Problem& problem : checked.problems) {
    EXPECT_EQ(problem.level, k8s::Level::kWarning) << problem.ToString();
  }
  for (auto& [entry, object] : checked.objects) loaded.events.push_back({false, object});
  const auto settings = k8s::FromText(ReadFileOr(DataDir() / name / "settings.json"));
  if (settings.ok()) {
    loaded.settings.dry_run_policies =
        k8s::StringMember(At(*settings, "env"), "AMBIENT_ENABLE_DRY_RUN_AUTHORIZATION_POLICY") ==
        "true";
  }
  return loaded;
}

void Check(const Compiler& compiler, const std::string& name) {
  const auto expected = k8s::FromText(ReadFileOr(DataDir() / name / "expected.json"));
  ASSERT_TRUE(expected.ok());
  Compare<istio::workload::Address>(At(*expected, "addresses"),
                                    compiler.resources(ResourceType::kAddress));
  Compare<istio::security::Authorization>(At(*expected, "authorizations"),
                                          compiler.resources(ResourceType::kAuthorization));
}

class AmbientTest : public testing::TestWithParam<const char*> {};

TEST_P(AmbientTest, IsTranslatedAsRecorded) {
  Case loaded = Load(GetParam());
  Compiler compiler(loaded.settings);
  compiler.Apply(loaded.events);
  Check(compiler, GetParam());
}

// One object at a time, in the reverse order, with everything deleted and made again in between,
// must come to the same state.
TEST_P(AmbientTest, IsTheSameWhenItComesPieceByPiece) {
  Case loaded = Load(GetParam());
  Compiler compiler(loaded.settings);
  for (auto event = loaded.events.rbegin(); event != loaded.events.rend(); ++event) {
    compiler.Apply({*event});
  }
  Check(compiler, GetParam());
  for (const k8s::Event& event : loaded.events) compiler.Apply({{true, event.object}});
  EXPECT_TRUE(compiler.resources(ResourceType::kAddress).empty());
  EXPECT_TRUE(compiler.resources(ResourceType::kAuthorization).empty());
  for (const k8s::Event& event : loaded.events) compiler.Apply({event});
  Check(compiler, GetParam());
}

TEST_P(AmbientTest, TellsTheStatusAsRecorded) {
  Case loaded = Load(GetParam());
  Compiler compiler(loaded.settings);
  compiler.Apply(loaded.events);
  const auto conditions = compiler.TakeConditions();
  const auto expected = k8s::FromText(ReadFileOr(DataDir() / GetParam() / "status.json"));
  if (!expected.ok()) return;  // nothing was written there
  for (const auto& [key, condition] : conditions) {
    if (!condition) continue;
    SCOPED_TRACE(key.ToString());
    const Json& object = At(*expected, ("AuthorizationPolicy/" + key.ns + "/" + key.name).c_str());
    const Json& list = At(object, "conditions");
    ASSERT_EQ(list.list_value().values_size(), 1);
    const Json& wanted = list.list_value().values(0);
    EXPECT_EQ(k8s::StringMember(wanted, "status"), condition->status());
    EXPECT_EQ(k8s::StringMember(wanted, "reason"), condition->reason());
    EXPECT_EQ(k8s::StringMember(wanted, "message"), condition->message());
  }
}

// Cases of kinds that are not read yet (ServiceEntry, WorkloadEntry, Gateway) are not in this list.
INSTANTIATE_TEST_SUITE_P(
    Recorded, AmbientTest,
    testing::Values("pod-hbone", "pod-host-network", "pod-locality", "pod-network-label",
                    "pod-owners", "pod-phases", "pod-service-accounts", "svc-clusterip",
                    "svc-dual-stack", "svc-export-to", "svc-externalname",
                    "svc-internal-traffic-local", "svc-labels-annotations-ignored",
                    "svc-named-target-ports", "svc-nodeport-lb", "svc-port-protocols",
                    "svc-slices-manual", "svc-traffic-distribution", "pa-all-ports-strict",
                    "pa-disable", "pa-matrix", "pa-mesh-strict", "pa-namespace-strict",
                    "pa-oldest-wins", "pa-root-selector", "pa-strict-open-ports",
                    "pa-unset-ports-under-strict", "pa-with-authz", "pa-workload-strict",
                    "ap-actions", "ap-dry-run", "ap-dry-run-enabled", "ap-empty-rules",
                    "ap-l7-allow", "ap-ports", "ap-principals", "ap-scopes", "ap-service-accounts",
                    "ap-trust-domain-fields", "ap-when-l4", "app-library", "mesh-root-namespace"),
    [](const auto& param) {
      std::string name = param.param;
      std::replace(name.begin(), name.end(), '-', '_');
      return name;
    });

}  // namespace
}  // namespace mesh::controller
