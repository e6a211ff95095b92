// The recorded answers of the reference to our inputs (tests/data/ambient), resource by resource
// and field by field.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <google/protobuf/util/json_util.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <set>

#include "agent/controller/model/compiler.h"
#include "agent/controller/translate/authorization.h"
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

const Json& StatusOf(const Json& statuses, const k8s::Key& key) {
  return At(statuses, fmt::format("{}/{}/{}", k8s::NameOf(key.kind), key.ns, key.name).c_str());
}

// The reference went on counting automatic addresses from case to case: an entry begins with those
// that it was given.
k8s::Object WithAddresses(const k8s::Object& object, const Json& statuses) {
  const auto* entry = object.As<api::ServiceEntry>();
  const Json& given = At(StatusOf(statuses, object.key()), "addresses");
  if (entry == nullptr || given.list_value().values().empty()) return object;
  auto copy = std::make_shared<api::ServiceEntry>(*entry);
  for (const Json& address : given.list_value().values()) {
    auto& added = *copy->mutable_status()->add_addresses();
    added.set_host(k8s::StringMember(address, "host"));
    added.set_value(k8s::StringMember(address, "value"));
  }
  return k8s::MakeObject(k8s::Kind::kServiceEntry, std::move(copy));
}

Case Load(const std::string& name) {
  Case loaded;
  const fs::path path = DataDir() / name / "cluster.json";
  k8s::CheckedManifest checked = k8s::CheckManifest(path, ReadFileOr(path));
  for (const k8s::Problem& problem : checked.problems) {
    EXPECT_EQ(problem.level, k8s::Level::kWarning) << problem.ToString();
  }
  const auto status = k8s::FromText(ReadFileOr(DataDir() / name / "status.json"));
  for (auto& [entry, object] : checked.objects) {
    loaded.events.push_back({false, status.ok() ? WithAddresses(object, *status) : object});
  }
  const auto settings = k8s::FromText(ReadFileOr(DataDir() / name / "settings.json"));
  if (settings.ok()) {
    loaded.settings.dry_run_policies =
        k8s::StringMember(At(*settings, "env"), "AMBIENT_ENABLE_DRY_RUN_AUTHORIZATION_POLICY") ==
        "true";
    loaded.settings.auto_allow_waypoint =
        k8s::StringMember(At(*settings, "env"), "PILOT_AUTO_ALLOW_WAYPOINT_POLICY") == "true";
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

class AmbientTest : public testing::TestWithParam<std::string> {};

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

// "type=... status=... ..." of each condition and address, sorted.
std::vector<std::string> Lines(const Json& status) {
  std::vector<std::string> lines;
  for (const Json& condition : At(status, "conditions").list_value().values()) {
    lines.push_back(fmt::format("{} {} {} \"{}\" {}", k8s::StringMember(condition, "type"),
                                k8s::StringMember(condition, "status"),
                                k8s::StringMember(condition, "reason"),
                                k8s::StringMember(condition, "message"),
                                k8s::StringMember(condition, "observedGeneration")));
  }
  for (const Json& address : At(status, "addresses").list_value().values()) {
    lines.push_back(k8s::StringMember(address, "host") + " " + k8s::StringMember(address, "value"));
  }
  std::sort(lines.begin(), lines.end());
  return lines;
}

std::vector<std::string> Lines(const ObjectStatus& status) {
  std::vector<std::string> lines;
  for (const api::Condition& condition : status.conditions) {
    const int64_t generation = condition.observed_generation();
    lines.push_back(fmt::format("{} {} {} \"{}\" {}", condition.type(), condition.status(),
                                condition.reason(), condition.message(),
                                generation == 0 ? "" : fmt::format("{}", generation)));
  }
  for (const auto& address : status.addresses) {
    lines.push_back(address.host() + " " + address.value());
  }
  std::sort(lines.begin(), lines.end());
  return lines;
}

// The reference says of this DENY rule, of which nothing is left, that it denies more. It denies
// nothing, and ours says so: see DenyPolicy below.
const std::set<std::string> kOwnWords = {"ap-when-l4: AuthorizationPolicy/one/sa-key"};

TEST_P(AmbientTest, TellsTheStatusAsRecorded) {
  Case loaded = Load(GetParam());
  Compiler compiler(loaded.settings);
  compiler.Apply(loaded.events);
  const auto statuses = compiler.TakeStatuses();
  const auto recorded = k8s::FromText(ReadFileOr(DataDir() / GetParam() / "status.json"));
  const Json expected = recorded.ok() ? *recorded : Json();
  std::set<std::string> told;
  for (const auto& [key, status] : statuses) {
    SCOPED_TRACE(key.ToString());
    const std::string name = fmt::format("{}/{}/{}", k8s::NameOf(key.kind), key.ns, key.name);
    told.insert(name);
    if (kOwnWords.contains(GetParam() + ": " + name)) continue;
    EXPECT_EQ(Lines(StatusOf(expected, key)), Lines(status));
  }
  for (const auto& [name, status] : expected.struct_value().fields()) {
    EXPECT_EQ(told.count(name), 1u) << "no status of " << name;
  }
}

// The message of a DENY policy's condition, by its rules as JSON.
std::string DenyMessage(const std::string& rules) {
  const std::string text =
      R"({"apiVersion":"security.istio.io/v1","kind":"AuthorizationPolicy",)"
      R"("metadata":{"name":"p","namespace":"shop"},"spec":{"action":"DENY","rules":)" +
      rules + "}}";
  const k8s::CheckedManifest checked = k8s::CheckManifest("p.json", text);
  if (checked.objects.size() != 1) return "refused";
  const auto* policy = checked.objects[0].second.As<api::AuthorizationPolicy>();
  return TranslateAuthorization(*policy, Settings()).condition->message();
}

TEST(DenyPolicy, SaysWhetherItDeniesMoreOrLessThanItNames) {
  using testing::HasSubstr;
  const std::string methods = R"({"operation":{"methods":["GET"]}})";
  const std::string both = R"({"operation":{"methods":["GET"],"ports":["80"]}})";
  const std::string from = R"("from":[{"source":{"namespaces":["x"]}}])";
  EXPECT_THAT(DenyMessage(R"([{"to":[)" + both + "]}]"), HasSubstr("be more restrictive"));
  EXPECT_THAT(DenyMessage(R"([{"to":[)" + methods + "]}]"), HasSubstr("be LESS restrictive"));
  EXPECT_THAT(DenyMessage("[{" + from + R"(,"to":[)" + methods + "]}]"),
              HasSubstr("In 1 of 1 DENY rules"));
  EXPECT_THAT(DenyMessage("[{" + from + R"(},{"to":[)" + both + "," + methods + "]}]"),
              HasSubstr("In 1 of 2 DENY rules"));
  EXPECT_THAT(DenyMessage("[{" + from + R"(,"when":[{"key":"connection.sni","values":["a"]}]}])"),
              HasSubstr("be LESS restrictive"));
}

// From an empty cluster the entries are given addresses by age, and take them along when they go.
TEST(AutomaticAddresses, AreGivenAsTheReferenceGivesThem) {
  const fs::path path = DataDir() / "se-auto-allocation" / "cluster.json";
  std::vector<k8s::Event> events;
  for (auto& [entry, object] : k8s::CheckManifest(path, ReadFileOr(path)).objects) {
    events.push_back({false, object});
  }
  Compiler compiler{Settings()};
  compiler.Apply(events);
  Check(compiler, "se-auto-allocation");
}

std::vector<std::string> AllCases() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(DataDir())) {
    if (entry.is_directory()) names.push_back(entry.path().filename());
  }
  std::sort(names.begin(), names.end());
  return names;
}

// Every folder of the recordings is a case; a lost one shows here.
TEST(Recordings, AreAllThere) { EXPECT_EQ(AllCases().size(), 67u); }

INSTANTIATE_TEST_SUITE_P(Recorded, AmbientTest, testing::ValuesIn(AllCases()),
                         [](const auto& param) {
                           std::string name = param.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace mesh::controller
