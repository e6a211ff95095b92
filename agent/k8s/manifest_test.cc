#include "agent/k8s/manifest.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "ztunnel/base/files.h"
#include "ztunnel/base/yaml.h"

namespace mesh::k8s {
namespace {

namespace fs = std::filesystem;

// The recorded verdicts: refused there, refused here; accepted there, accepted here; and the
// warnings.
TEST(Manifest, RefusesWhatTheReferenceRefuses) {
  const fs::path data = fs::path(MESH_SOURCE_DIR) / "tests/data/validation";
  const auto expected = FromText(ReadFileOr(data / "expected.json"));
  ASSERT_TRUE(expected.ok());
  int cases = 0;
  for (const auto& [name, verdict] : expected->struct_value().fields()) {
    SCOPED_TRACE(name);
    ++cases;
    const fs::path path = data / "cases" / (name + ".yaml");
    const CheckedManifest checked = CheckManifest(path, ReadFileOr(path));
    const auto& fields = verdict.struct_value().fields();
    const bool accepted =
        fields.at("schema").bool_value() &&
        (fields.at("webhook").kind_case() == Json::kNullValue || fields.at("webhook").bool_value());
    std::string text;
    for (const Problem& problem : checked.problems) text += problem.ToString() + "\n";
    EXPECT_EQ(accepted, checked.objects.size() == 1) << text;
    if (!fields.at("warnings").list_value().values().empty()) EXPECT_FALSE(text.empty());
    if (accepted && fields.at("warnings").list_value().values().empty()) EXPECT_EQ(text, "");
  }
  EXPECT_EQ(cases, 183);
}

TEST(Manifest, NamesTheFieldAndTheLine) {
  const CheckedManifest checked = CheckManifest("f.yaml", R"(apiVersion: security.istio.io/v1beta1
kind: AuthorizationPolicy
metadata:
  name: p
  namespace: shop
spec:
  action: DENY
  rules:
  - from:
    - source:
        ipBlocks: ["10.0.0.0/8", "10.0.0.0/33"]
    to:
    - operation:
        prots: ["80"]
)");
  ASSERT_EQ(checked.problems.size(), 3u);
  EXPECT_EQ(
      checked.problems[0].ToString(),
      "f.yaml:14: AuthorizationPolicy shop/p: spec.rules[0].to[0].operation.prots: unknown field");
  EXPECT_EQ(checked.problems[1].ToString(),
            "f.yaml:11: AuthorizationPolicy shop/p: spec.rules[0].from[0].source.ipBlocks[1]: "
            "\"10.0.0.0/33\" is no IP address or CIDR range");
  EXPECT_EQ(checked.problems[2].field, "spec.rules[0].to[0].operation");
  EXPECT_TRUE(checked.objects.empty());
}

TEST(Manifest, WarnsOfDenyRulesThatTheNodeProxyCannotCheck) {
  const auto problems = [](const std::string& rule) {
    return CheckManifest("f.yaml",
                         "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n"
                         "metadata: {name: p, namespace: shop}\nspec: {action: DENY, rules: [{" +
                             rule + "}]}\n")
        .problems;
  };
  const std::string from = "from: [{source: {namespaces: [x]}}]";
  EXPECT_TRUE(problems(from).empty());
  EXPECT_TRUE(problems("to: [{operation: {methods: [GET], ports: ['80']}}]").empty());
  for (const std::string& rule : {std::string("to: [{operation: {methods: [GET]}}]"),
                                  from + ", to: [{operation: {methods: [GET]}}]",
                                  from + ", when: [{key: connection.sni, values: [a]}]"}) {
    const auto found = problems(rule);
    ASSERT_EQ(found.size(), 1u) << rule;
    EXPECT_EQ(found[0].level, Level::kWarning);
    EXPECT_EQ(found[0].field, "spec.rules[0]");
  }
}

TEST(Manifest, TakesListsApart) {
  const CheckedManifest checked = CheckManifest(
      "f.json",
      R"({"apiVersion":"v1","kind":"List","items":[{"apiVersion":"v1","kind":"Namespace",)"
      R"("metadata":{"name":"a"}},{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"B"}}]})");
  EXPECT_EQ(checked.objects.size(), 1u);
  ASSERT_EQ(checked.problems.size(), 1u);
  EXPECT_EQ(checked.problems[0].field, "metadata.name");
}

TEST(Manifest, UnknownKindsAreAWarning) {
  const CheckedManifest checked =
      CheckManifest("f", "apiVersion: batch/v1\nkind: Job\nmetadata: {name: x}\n");
  ASSERT_EQ(checked.problems.size(), 1u);
  EXPECT_EQ(checked.problems[0].level, Level::kWarning);
}

TEST(Yaml, BadDocumentLeavesItsNeighboursAlone) {
  const auto documents = ReadYaml("a: 1\n---\nb: [\n---\nc: 'yes'\nd: yes\n");
  ASSERT_EQ(documents.size(), 3u);
  EXPECT_TRUE(documents[0].status.ok());
  EXPECT_FALSE(documents[1].status.ok());
  EXPECT_EQ(documents[2].value.struct_value().fields().at("c").string_value(), "yes");
  EXPECT_TRUE(documents[2].value.struct_value().fields().at("d").bool_value());
  EXPECT_EQ(documents[2].LineOf("d"), 6);
}

TEST(Yaml, TextMustBeUtf8) {
  EXPECT_TRUE(ReadYaml("a: \xc3\xa9\n")[0].status.ok());
  EXPECT_FALSE(ReadYaml("a: \xff\n")[0].status.ok());
  EXPECT_FALSE(ReadYaml("a: '\xed\xa0\x80'\n")[0].status.ok());
}

TEST(Yaml, ExpandingAliasesIsBounded) {
  std::string text = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n";
  for (int i = 1; i < 9; ++i) {
    const std::string previous = "*a" + std::to_string(i - 1);
    text += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [" + previous;
    for (int n = 0; n < 9; ++n) text += "," + previous;
    text += "]\n";
  }
  const auto documents = ReadYaml(text);
  ASSERT_EQ(documents.size(), 1u);
  EXPECT_FALSE(documents[0].status.ok());
}

TEST(Json, MergePatchFollowsRfc7396) {
  Json target = *FromText(R"({"a":"b","c":{"d":"e","f":"g"},"l":[1,2]})");
  MergePatch(target, *FromText(R"({"a":"z","c":{"f":null},"l":[3],"n":{"x":null,"y":1}})"));
  EXPECT_EQ(ToText(target).size(),
            ToText(*FromText(R"({"a":"z","c":{"d":"e"},"l":[3],"n":{"y":1}})")).size());
  EXPECT_EQ(Member(*Member(target, "c"), "f"), nullptr);
  EXPECT_EQ(Member(*Member(target, "n"), "x"), nullptr);
  EXPECT_EQ(Member(target, "l")->list_value().values_size(), 1);
}

}  // namespace
}  // namespace mesh::k8s
