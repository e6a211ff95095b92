// Writes one scrape: families with HELP and TYPE, then their series. Two forms: OpenMetrics
// (counters' families are named without _total, "# EOF" ends it) and Prometheus text 0.0.4.
//
// A family is written once a scrape: all series of a name follow its Family(). Thread: the
// caller's.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace mesh::telemetry {

enum class MetricsFormat { kOpenMetrics, kText };
enum class MetricType { kCounter, kGauge, kHistogram };

using LabelList = std::initializer_list<std::pair<std::string_view, std::string_view>>;

class MetricsWriter {
 public:
  explicit MetricsWriter(MetricsFormat format) : format_(format) {}

  // `name` is without _total; `help` is a sentence.
  void Family(std::string_view name, MetricType type, std::string_view help);
  // `labels` is rendered text without braces, may be empty.
  void Sample(std::string_view labels, uint64_t value);
  void Sample(LabelList labels, uint64_t value);
  void SampleSigned(std::string_view labels, int64_t value);
  // `counts[i]` is the number of observations at most bounds[i], the last one all; not cumulative.
  void Histogram(std::string_view labels, std::span<const double> bounds,
                 std::span<const uint64_t> counts, double sum);

  std::string Finish() &&;

 private:
  MetricsFormat format_;
  MetricType type_ = MetricType::kGauge;
  std::string name_;  // as its samples are written
  std::string out_;
};

}  // namespace mesh::telemetry
