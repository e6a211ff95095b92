#include "agent/controller/problem_conditions.h"

#include <fmt/format.h>

namespace mesh::controller {
namespace {

constexpr size_t kMaxListed = 8;

std::string TextOf(const k8s::Problem& problem) {
  std::string text = fmt::format("{}:{}", problem.file, problem.line);
  if (!problem.field.empty()) text += ": " + problem.field;
  if (!problem.value.empty()) text += " (" + problem.value + ")";
  return text + ": " + problem.reason;
}

api::Condition ConditionOf(const std::vector<const k8s::Problem*>& problems) {
  bool refused = false;
  bool stays = false;
  for (const k8s::Problem* problem : problems) {
    refused |= problem->level == k8s::Level::kError;
    stays |= problem->last_good_stays;
  }
  std::string message;
  size_t listed = 0;
  for (const k8s::Problem* problem : problems) {
    if (refused && problem->level != k8s::Level::kError) continue;
    if (++listed > kMaxListed) continue;
    message += (message.empty() ? "" : "; ") + TextOf(*problem);
  }
  if (listed > kMaxListed) message += fmt::format("; and {} more", listed - kMaxListed);
  if (refused) message += stays ? ". The last good version stays in force" : ". It has no effect";
  api::Condition condition;
  condition.set_type("Valid");
  condition.set_status(refused ? "False" : "True");
  condition.set_reason(refused ? "Invalid" : "PartlyHonoured");
  condition.set_message(std::move(message));
  return condition;
}

}  // namespace

std::map<k8s::Key, api::Condition> ConditionsOf(const std::vector<k8s::Problem>& problems) {
  std::map<k8s::Key, std::vector<const k8s::Problem*>> by_object;
  for (const k8s::Problem& problem : problems) {
    if (problem.key) by_object[*problem.key].push_back(&problem);
  }
  std::map<k8s::Key, api::Condition> conditions;
  for (const auto& [key, list] : by_object) conditions.emplace(key, ConditionOf(list));
  return conditions;
}

bool OwnsConditions(k8s::Kind kind) {
  switch (kind) {
    case k8s::Kind::kAuthorizationPolicy:
    case k8s::Kind::kDestinationRule:
    case k8s::Kind::kPeerAuthentication:
    case k8s::Kind::kRequestAuthentication:
    case k8s::Kind::kService:
    case k8s::Kind::kServiceEntry:
    case k8s::Kind::kTelemetry:
    case k8s::Kind::kVirtualService:
      return true;
    default:
      return false;
  }
}

}  // namespace mesh::controller
