#include "agent/controller/l7/telemetry.h"

#include <algorithm>
#include <map>

namespace mesh::controller {
namespace {

namespace l7 = mesh::l7::v1;
using Side = api::TracingSelector;

std::string Lower(std::string text) {
  for (char& c : text) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return text;
}

const TracingProvider* FindProvider(const std::string& name, const Settings& settings) {
  for (const TracingProvider& provider : settings.tracing_providers) {
    if (Lower(provider.name) == Lower(name)) return &provider;
  }
  return nullptr;
}

void SetProvider(const std::string& name, const Settings& settings, l7::Tracing& out) {
  const TracingProvider* provider = FindProvider(name, settings);
  out.set_service(provider == nullptr ? "" : provider->service);
  out.set_port(provider == nullptr ? 0 : provider->port);
  out.set_path(provider == nullptr ? "" : provider->path);
  out.set_format(provider != nullptr && provider->otlp ? l7::Tracing::OTLP : l7::Tracing::ZIPKIN);
}

void SetTags(const google::protobuf::Map<std::string, api::CustomTag>& tags, l7::Tracing& out) {
  out.clear_tags();
  for (const auto& [name, tag] : std::map<std::string, api::CustomTag>(tags.begin(), tags.end())) {
    l7::Tracing::Tag& added = *out.add_tags();
    added.set_name(name);
    if (tag.has_literal()) {
      added.set_literal(tag.literal().value());
    } else if (tag.has_header()) {
      added.set_header(tag.header().name());
      added.set_default_value(tag.header().default_value());
    } else if (tag.has_environment()) {
      added.set_environment(tag.environment().name());
      added.set_default_value(tag.environment().default_value());
    } else if (tag.has_formatter()) {
      added.set_formatter(tag.formatter().value());
    } else {
      out.mutable_tags()->RemoveLast();  // says nothing
    }
  }
}

// Of several entries for a side the first counts.
void ApplyTracing(const api::Telemetry& object, Side::Mode side, const Settings& settings,
                  l7::Tracing& out) {
  for (const api::Tracing& tracing : object.spec().tracing()) {
    const Side::Mode mode = tracing.match().mode();
    if (mode != Side::CLIENT_AND_SERVER && mode != side) continue;
    if (!tracing.providers().empty()) SetProvider(tracing.providers(0).name(), settings, out);
    if (tracing.has_random_sampling_percentage()) {
      out.set_sampling_percent(tracing.random_sampling_percentage());
    }
    if (tracing.has_disable_span_reporting()) {
      out.set_report_spans(!tracing.disable_span_reporting());
    }
    if (!tracing.custom_tags().empty()) SetTags(tracing.custom_tags(), out);
    if (tracing.has_use_request_id_for_trace_sampling()) {
      out.set_use_request_id_for_sampling(tracing.use_request_id_for_trace_sampling());
    }
    if (tracing.has_enable_istio_tags()) out.set_istio_tags(tracing.enable_istio_tags());
    if (tracing.has_disable_context_propagation()) {
      out.set_propagate_context(!tracing.disable_context_propagation());
    }
    return;
  }
}

l7::Tracing TracingOf(const std::vector<TelemetryRef>& chain, Side::Mode side,
                      const Settings& settings) {
  l7::Tracing out;
  SetProvider(settings.default_tracing, settings, out);
  out.set_sampling_percent(settings.trace_sampling_percent);
  out.set_report_spans(true);
  out.set_propagate_context(true);
  out.set_use_request_id_for_sampling(true);
  out.set_istio_tags(true);
  for (const TelemetryRef& object : chain) ApplyTracing(*object, side, settings, out);
  return out;
}

void ApplyAccessLog(const api::Telemetry& object, l7::AccessLog& out) {
  for (const api::AccessLogging& logging : object.spec().access_logging()) {
    if (logging.match().mode() == Side::CLIENT) continue;  // a request is logged once, as served
    if (logging.has_disabled()) {
      out.set_disabled(logging.disabled());
    } else if (!logging.providers().empty()) {
      out.set_disabled(false);
    }
    if (logging.has_filter()) out.set_filter(logging.filter().expression());
  }
}

std::string SeriesOf(const api::MetricSelector& match) {
  using M = api::MetricSelector;
  if (match.has_custom_metric()) return match.custom_metric();
  switch (match.metric()) {
    case M::REQUEST_COUNT:
      return "istio_requests_total";
    case M::REQUEST_DURATION:
      return "istio_request_duration_milliseconds";
    case M::REQUEST_SIZE:
      return "istio_request_bytes";
    case M::RESPONSE_SIZE:
      return "istio_response_bytes";
    case M::TCP_OPENED_CONNECTIONS:
      return "istio_tcp_connections_opened_total";
    case M::TCP_CLOSED_CONNECTIONS:
      return "istio_tcp_connections_closed_total";
    case M::TCP_SENT_BYTES:
      return "istio_tcp_sent_bytes_total";
    case M::TCP_RECEIVED_BYTES:
      return "istio_tcp_received_bytes_total";
    case M::GRPC_REQUEST_MESSAGES:
      return "istio_request_messages_total";
    case M::GRPC_RESPONSE_MESSAGES:
      return "istio_response_messages_total";
    default:
      return "";  // all
  }
}

void AddMetrics(const api::Telemetry& object, l7::Telemetry& out) {
  for (const api::Metrics& metrics : object.spec().metrics()) {
    for (const api::MetricOverride& override : metrics.overrides()) {
      l7::MetricRule& rule = *out.add_metrics();
      rule.set_metric(SeriesOf(override.match()));
      rule.set_mode(static_cast<l7::MetricRule::Mode>(override.match().mode()));
      rule.set_disabled(override.disabled());
      const std::map<std::string, api::TagOverride> tags(override.tag_overrides().begin(),
                                                         override.tag_overrides().end());
      for (const auto& [name, tag] : tags) {
        if (tag.operation() == api::TagOverride::REMOVE) {
          rule.add_remove_tags(name);
        } else {
          (*rule.mutable_set_tags())[name] = tag.value();
        }
      }
    }
  }
}

}  // namespace

l7::Telemetry TranslateTelemetry(const std::vector<TelemetryRef>& chain, const Settings& settings) {
  l7::Telemetry out;
  *out.mutable_server_tracing() = TracingOf(chain, Side::SERVER, settings);
  *out.mutable_client_tracing() = TracingOf(chain, Side::CLIENT, settings);
  out.mutable_access_log()->set_json(settings.access_log_json);
  out.mutable_access_log()->set_disabled(!settings.access_log);
  for (const TelemetryRef& object : chain) {
    ApplyAccessLog(*object, *out.mutable_access_log());
    AddMetrics(*object, out);
  }
  return out;
}

}  // namespace mesh::controller
