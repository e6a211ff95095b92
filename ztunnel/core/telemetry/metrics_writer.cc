#include "ztunnel/core/telemetry/metrics_writer.h"

#include <fmt/format.h>

#include <iterator>

#include "ztunnel/core/telemetry/labels.h"

namespace mesh::telemetry {
namespace {

std::string_view TypeName(MetricType type) {
  switch (type) {
    case MetricType::kCounter:
      return "counter";
    case MetricType::kGauge:
      return "gauge";
    case MetricType::kHistogram:
      return "histogram";
  }
  return "unknown";
}

}  // namespace

void MetricsWriter::Family(std::string_view name, MetricType type, std::string_view help) {
  type_ = type;
  name_ = name;
  if (type == MetricType::kCounter) name_ += "_total";
  const std::string_view family = format_ == MetricsFormat::kText ? std::string_view(name_) : name;
  fmt::format_to(std::back_inserter(out_), "# HELP {} {}\n# TYPE {} {}\n", family, help, family,
                 TypeName(type));
}

void MetricsWriter::Sample(std::string_view labels, uint64_t value) {
  if (labels.empty()) {
    fmt::format_to(std::back_inserter(out_), "{} {}\n", name_, value);
  } else {
    fmt::format_to(std::back_inserter(out_), "{}{{{}}} {}\n", name_, labels, value);
  }
}

void MetricsWriter::Sample(LabelList labels, uint64_t value) {
  std::string text;
  for (const auto& [name, label] : labels) {
    if (!text.empty()) text.push_back(',');
    AppendLabel(text, name, label);
  }
  Sample(text, value);
}

void MetricsWriter::SampleSigned(std::string_view labels, int64_t value) {
  if (labels.empty()) {
    fmt::format_to(std::back_inserter(out_), "{} {}\n", name_, value);
  } else {
    fmt::format_to(std::back_inserter(out_), "{}{{{}}} {}\n", name_, labels, value);
  }
}

void MetricsWriter::Histogram(std::string_view labels, std::span<const double> bounds,
                              std::span<const uint64_t> counts, double sum) {
  const std::string_view comma = labels.empty() ? "" : ",";
  uint64_t total = 0;
  for (size_t i = 0; i < counts.size(); ++i) {
    total += counts[i];
    std::string le = i < bounds.size() ? fmt::format("{}", bounds[i]) : "+Inf";
    if (le.find_first_not_of("0123456789") == std::string::npos) le += ".0";  // canonical number
    fmt::format_to(std::back_inserter(out_), "{}_bucket{{{}{}le=\"{}\"}} {}\n", name_, labels,
                   comma, le, total);
  }
  const std::string braces = labels.empty() ? "" : fmt::format("{{{}}}", labels);
  fmt::format_to(std::back_inserter(out_), "{}_sum{} {}\n{}_count{} {}\n", name_, braces, sum,
                 name_, braces, total);
}

std::string MetricsWriter::Finish() && {
  if (format_ == MetricsFormat::kOpenMetrics) out_ += "# EOF\n";
  return std::move(out_);
}

}  // namespace mesh::telemetry
