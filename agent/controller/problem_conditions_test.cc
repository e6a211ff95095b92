#include "agent/controller/problem_conditions.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent/k8s/manifest.h"

namespace mesh::controller {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr char kManifest[] = R"(apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: bad, namespace: shop}
spec:
  action: ALLOW
  actoin: x
  rules:
  - to:
    - operation: {ports: ["99999"]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: partly, namespace: shop}
spec:
  rulez: [1, 2]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: good, namespace: shop}
---
not: [closed
)";

k8s::Key KeyOf(const char* name) { return {k8s::Kind::kAuthorizationPolicy, "shop", name}; }

TEST(ProblemConditions, SayFileLineFieldValueAndReasonOfEachObject) {
  const auto conditions = ConditionsOf(k8s::CheckManifest("m/p.yaml", kManifest).problems);
  ASSERT_EQ(conditions.size(), 2u) << "none of the good one, none of what is no object";
  const api::Condition& bad = conditions.at(KeyOf("bad"));
  EXPECT_EQ(bad.type(), "Valid");
  EXPECT_EQ(bad.status(), "False");
  EXPECT_EQ(bad.reason(), "Invalid");
  EXPECT_THAT(bad.message(),
              HasSubstr("m/p.yaml:9: spec.rules[0].to[0].operation.ports[0] (\"99999\"): "));
  EXPECT_THAT(bad.message(), HasSubstr(". It has no effect"));
  EXPECT_THAT(bad.message(), Not(HasSubstr("actoin"))) << "what refused it comes alone";
  const api::Condition& partly = conditions.at(KeyOf("partly"));
  EXPECT_EQ(partly.status(), "True");
  EXPECT_EQ(partly.reason(), "PartlyHonoured");
  EXPECT_EQ(partly.message(), "m/p.yaml:15: spec.rulez ([1,2]): unknown field");
}

TEST(ProblemConditions, ManyProblemsAreCountedNotListed) {
  std::vector<k8s::Problem> problems(20);
  for (k8s::Problem& problem : problems) {
    problem.key = KeyOf("a");
    problem.last_good_stays = true;
    problem.reason = "no";
  }
  const std::string message = ConditionsOf(problems).at(KeyOf("a")).message();
  EXPECT_THAT(message, HasSubstr("; and 12 more. The last good version stays in force"));
}

}  // namespace
}  // namespace mesh::controller
