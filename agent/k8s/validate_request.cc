// The rules of RequestAuthentication and Telemetry.
#include <fmt/format.h>

#include "agent/k8s/checker.h"
#include "agent/k8s/validate.h"

namespace mesh::k8s {
namespace {

class JwtChecker : FieldChecker {
 public:
  explicit JwtChecker(std::vector<Issue>& issues) : FieldChecker(issues) {}

  void CheckRule(const api::JwtRule& rule, const std::string& field) {
    if (rule.issuer().empty() && rule.jwks_uri().empty()) {
      Error(field + ".issuer", "issuer or jwksUri is required");
    }
    const auto all = [&](const Strings& values, const char* list) {
      for (int i = 0; i < values.size(); ++i) {
        if (values[i].empty()) Error(fmt::format("{}.{}[{}]", field, list, i), "must not be empty");
      }
    };
    all(rule.audiences(), "audiences");
    all(rule.from_params(), "fromParams");
    all(rule.from_cookies(), "fromCookies");
    const std::string& uri = rule.jwks_uri();
    if (!uri.empty() && uri.rfind("http://", 0) != 0 && uri.rfind("https://", 0) != 0) {
      Error(field + ".jwksUri", fmt::format("must be http or https, not \"{}\"", uri));
    }
    if (!rule.jwks().empty()) CheckKeys(rule, field + ".jwks");
    for (int i = 0; i < rule.from_headers_size(); ++i) {
      CheckName(rule.from_headers(i).name(), fmt::format("{}.fromHeaders[{}].name", field, i));
    }
    if (!rule.output_payload_to_header().empty()) {
      CheckName(rule.output_payload_to_header(), field + ".outputPayloadToHeader");
    }
    for (int i = 0; i < rule.output_claim_to_headers_size(); ++i) {
      const std::string at = fmt::format("{}.outputClaimToHeaders[{}]", field, i);
      CheckName(rule.output_claim_to_headers(i).header(), at + ".header");
      if (rule.output_claim_to_headers(i).claim().empty()) Error(at + ".claim", "required");
    }
    if (!rule.timeout().empty()) CheckDuration(rule.timeout(), field + ".timeout");
  }

 private:
  void CheckName(const std::string& name, const std::string& field) {
    if (!IsHeaderName(name)) Error(field, fmt::format("\"{}\" is no header's name", name));
  }

  void CheckKeys(const api::JwtRule& rule, const std::string& field) {
    if (!rule.jwks_uri().empty()) Error(field, "not beside jwksUri");
    const auto keys = FromText(rule.jwks());
    const Json* list = keys.ok() ? Member(*keys, "keys") : nullptr;
    if (list == nullptr || list->kind_case() != Json::kListValue) {
      return Error(field, "is no key set: {\"keys\": [...]}");
    }
    for (const Json& key : list->list_value().values()) {
      if (Member(key, "d") != nullptr) Warn(field, "holds a private key");
    }
  }
};

class TelemetryChecker : FieldChecker {
 public:
  explicit TelemetryChecker(std::vector<Issue>& issues) : FieldChecker(issues) {}

  void Check(const api::TelemetrySpec& spec) {
    if (spec.tracing_size() > 1) Warn("spec.tracing", "of several only the first of a mode counts");
    for (int i = 0; i < spec.tracing_size(); ++i) {
      CheckTracing(spec.tracing(i), fmt::format("spec.tracing[{}]", i));
    }
    for (int i = 0; i < spec.metrics_size(); ++i) {
      CheckMetrics(spec.metrics(i), fmt::format("spec.metrics[{}]", i));
    }
    for (int i = 0; i < spec.access_logging_size(); ++i) {
      CheckProviders(spec.access_logging(i).providers(), fmt::format("spec.accessLogging[{}]", i));
    }
  }

 private:
  template <typename Providers>
  void CheckProviders(const Providers& providers, const std::string& field) {
    for (int i = 0; i < providers.size(); ++i) {
      if (providers[i].name().empty()) {
        Error(fmt::format("{}.providers[{}].name", field, i), "required");
      }
    }
  }

  void CheckTracing(const api::Tracing& tracing, const std::string& field) {
    CheckProviders(tracing.providers(), field);
    if (tracing.providers_size() > 1) Warn(field + ".providers", "only the first is used");
    const double percent = tracing.random_sampling_percentage();
    if (!(percent >= 0 && percent <= 100)) {
      Error(field + ".randomSamplingPercentage",
            fmt::format("must be between 0 and 100, not {}", percent));
    }
    for (const auto& [name, tag] : tracing.custom_tags()) {
      const std::string at = field + ".customTags." + name;
      if (name.empty()) Error(field + ".customTags", "a tag without a name");
      if (tag.has_literal() && tag.literal().value().empty()) {
        Error(at + ".literal.value", "must not be empty");
      }
      if (tag.has_header() && tag.header().name().empty()) {
        Error(at + ".header.name", "must not be empty");
      }
      if (tag.has_environment() && tag.environment().name().empty()) {
        Error(at + ".environment.name", "must not be empty");
      }
    }
  }

  void CheckMetrics(const api::Metrics& metrics, const std::string& field) {
    CheckProviders(metrics.providers(), field);
    if (!metrics.reporting_interval().empty()) {
      CheckDuration(metrics.reporting_interval(), field + ".reportingInterval");
    }
    for (int i = 0; i < metrics.overrides_size(); ++i) {
      const std::string at = fmt::format("{}.overrides[{}]", field, i);
      const api::MetricOverride& override = metrics.overrides(i);
      if (override.match().has_custom_metric() && override.match().custom_metric().empty()) {
        Error(at + ".match.customMetric", "must not be empty");
      }
      for (const auto& [name, tag] : override.tag_overrides()) {
        const std::string value = at + ".tagOverrides." + name + ".value";
        const bool upsert = tag.operation() == api::TagOverride::UPSERT;
        if (upsert && tag.value().empty()) Error(value, "required with UPSERT");
        if (!upsert && !tag.value().empty()) Error(value, "only with UPSERT");
      }
    }
  }
};

}  // namespace

void ValidateRequestAuthentication(const api::RequestAuthentication& object,
                                   std::vector<Issue>& issues) {
  const auto& spec = object.spec();
  ValidateTargets(spec, issues);
  JwtChecker checker(issues);
  for (int i = 0; i < spec.jwt_rules_size(); ++i) {
    checker.CheckRule(spec.jwt_rules(i), fmt::format("spec.jwtRules[{}]", i));
  }
}

void ValidateTelemetry(const api::Telemetry& object, std::vector<Issue>& issues) {
  const auto& spec = object.spec();
  ValidateTargets(spec, issues);
  TelemetryChecker(issues).Check(spec);
}

}  // namespace mesh::k8s
