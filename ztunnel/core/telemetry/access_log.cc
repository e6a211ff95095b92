#include "ztunnel/core/telemetry/access_log.h"

#include "ztunnel/base/status.h"
#include "ztunnel/core/telemetry/labels.h"
#include "ztunnel/core/telemetry/registry.h"

namespace mesh::telemetry {
namespace {

// Fields in order, in one of the two forms. Values that a peer can influence are always escaped.
class Fields {
 public:
  Fields(std::string& out, LogFormat format) : out_(out), json_(format == LogFormat::kJson) {}

  void Text(std::string_view name, std::string_view value) {
    Name(name);
    out_ += Quoted(value);
  }
  void TextIfAny(std::string_view name, std::string_view value) {
    if (!value.empty()) Text(name, value);
  }
  // Addresses, and words of our own: bare in the text form.
  void Word(std::string_view name, std::string_view value) {
    Name(name);
    out_ += json_ ? Quoted(value) : std::string(value);
  }
  void Number(std::string_view name, uint64_t value) {
    Name(name);
    out_ += std::to_string(value);
  }

 private:
  void Name(std::string_view name) {
    if (json_) {
      fmt::format_to(std::back_inserter(out_), ",\"{}\":", name);
    } else {
      fmt::format_to(std::back_inserter(out_), "{}{}=", first_ ? "" : " ", name);
    }
    first_ = false;
  }

  std::string& out_;
  const bool json_;
  bool first_ = true;
};

const char* LevelOf(const AccessEntry& entry) {
  switch (entry.kind) {
    case AccessEntry::Kind::kOpened:
      return "debug";
    case AccessEntry::Kind::kFailedEarly:
      return "warn";
    case AccessEntry::Kind::kComplete:
      return entry.status.ok() ? "info" : "error";
    case AccessEntry::Kind::kDryRun:
      return "info";
  }
  return "info";
}

const char* EventName(AccessEntry::Kind kind) {
  switch (kind) {
    case AccessEntry::Kind::kOpened:
      return "connection opened";
    case AccessEntry::Kind::kFailedEarly:
      return "connection failed";
    case AccessEntry::Kind::kComplete:
      return "connection complete";
    case AccessEntry::Kind::kDryRun:
      return "dry run";
  }
  return "";
}

void WriteHead(std::string& out, const AccessEntry& entry, LogFormat format) {
  const std::string time =
      absl::FormatTime("%Y-%m-%dT%H:%M:%E6SZ", entry.time, absl::UTCTimeZone());
  if (format == LogFormat::kJson) {
    fmt::format_to(std::back_inserter(out),
                   R"({{"level":"{}","time":"{}","scope":"access","message":"{}")", LevelOf(entry),
                   time, EventName(entry.kind));
  } else {
    fmt::format_to(std::back_inserter(out), "{}\t{}\taccess\t{}\t", time, LevelOf(entry),
                   EventName(entry.kind));
  }
}

void WriteError(Fields& fields, const absl::Status& status) {
  if (status.ok()) return;
  fields.Text("error", MessageOf(status));
  fields.Word("reason", ReasonLabel(ReasonOf(status)));
}

void WriteContext(Fields& fields, const ConnectionInfo& info, std::string_view own_cluster) {
  const bool proved = PrincipalsProved(info);
  fields.Word("src.addr", info.src.ToString());
  if (info.source != nullptr) {
    fields.TextIfAny("src.workload", info.source->name);
    fields.TextIfAny("src.namespace", info.source->ns);
  } else if (info.source_baggage) {
    fields.TextIfAny("src.workload", info.source_baggage->service_name);
    fields.TextIfAny("src.namespace", info.source_baggage->ns);
  }
  if (proved && info.source_identity)
    fields.Text("src.identity", PrincipalOf(*info.source_identity));
  const std::string_view cluster = info.source != nullptr ? info.source->cluster_id.view()
                                   : info.source_baggage
                                       ? std::string_view(info.source_baggage->cluster)
                                       : "";
  if (cluster != own_cluster) fields.TextIfAny("src.cluster", cluster);

  fields.Word("dst.addr", info.dst.ToString());
  if (!info.hbone_authority.empty()) {
    // The authority comes from a peer; what is no plain address is quoted.
    const bool plain = SocketAddress::Parse(info.hbone_authority).has_value();
    if (plain) {
      fields.Word("dst.hbone_addr", info.hbone_authority);
    } else {
      fields.Text("dst.hbone_addr", info.hbone_authority);
    }
  }
  if (info.destination_service != nullptr) {
    fields.TextIfAny("dst.service", info.destination_service->hostname);
  }
  if (info.destination != nullptr) {
    fields.TextIfAny("dst.workload", info.destination->name);
    fields.TextIfAny("dst.namespace", info.destination->ns);
  }
  if (proved && info.destination_identity) {
    fields.Text("dst.identity", PrincipalOf(*info.destination_identity));
  }
  if (info.destination != nullptr && info.destination->cluster_id != own_cluster) {
    fields.TextIfAny("dst.cluster", info.destination->cluster_id);
  }
}

}  // namespace

std::string FormatAccessEntry(const AccessEntry& entry, LogFormat format,
                              std::string_view own_cluster) {
  std::string out;
  out.reserve(640);
  WriteHead(out, entry, format);
  Fields fields(out, format);
  if (entry.kind == AccessEntry::Kind::kDryRun) {
    const std::optional<identity::Identity>& source = entry.info.source_identity;
    fields.Text("policy_would_have", entry.would);
    fields.Word("src.addr", entry.info.src.ip.ToString());
    fields.Text("src.identity", source ? PrincipalOf(*source) : "none");
    fields.Word("dst.addr", entry.info.dst.ToString());
  } else if (entry.kind == AccessEntry::Kind::kFailedEarly) {
    fields.Word("src.addr", entry.info.src.ToString());
    fields.Word("dst.addr", entry.info.dst.ToString());
    fields.Text("direction", entry.direction == Direction::kInbound ? "inbound" : "outbound");
    WriteError(fields, entry.status);
  } else {
    WriteContext(fields, entry.info, own_cluster);
    const bool outbound = entry.info.reporter == Reporter::kSource;
    fields.Text("direction", outbound ? "outbound" : "inbound");
    if (entry.kind == AccessEntry::Kind::kComplete) {
      // As the pod whose line this is sees them.
      fields.Number("bytes_sent", outbound ? entry.received : entry.sent);
      fields.Number("bytes_recv", outbound ? entry.sent : entry.received);
      fields.Text(
          "duration",
          fmt::format("{}ms", std::max<int64_t>(0, absl::ToInt64Milliseconds(entry.duration))));
      WriteError(fields, entry.status);
    }
  }
  out += format == LogFormat::kJson ? "}\n" : "\n";
  return out;
}

bool AccessLog::Enabled(AccessEntry::Kind kind, bool failed) const {
  switch (kind) {
    case AccessEntry::Kind::kOpened:
      return logger_->should_log(spdlog::level::debug);
    case AccessEntry::Kind::kFailedEarly:
      return logger_->should_log(spdlog::level::warn);
    case AccessEntry::Kind::kDryRun:
      return logger_->should_log(spdlog::level::info);
    case AccessEntry::Kind::kComplete:
      return logger_->should_log(failed ? spdlog::level::err : spdlog::level::info);
  }
  return false;
}

void AccessLog::Start(LogFormat format, std::string own_cluster, std::FILE* out) {
  metrics_ = registry_.Add([this](MetricsWriter& writer) {
    writer.Family("mesh_access_log_dropped", MetricType::kCounter,
                  "Access log lines dropped because the output did not keep up.");
    writer.Sample("", dropped());
  });
  std::lock_guard lock(mutex_);
  format_ = format;
  own_cluster_ = std::move(own_cluster);
  out_ = out;
  running_ = true;
  thread_ = std::thread([this] { RunWriter(); });
}

void AccessLog::Stop() {
  {
    std::lock_guard lock(mutex_);
    if (!running_) return;
    running_ = false;
  }
  wake_.notify_one();
  thread_.join();
  metrics_.reset();
}

void AccessLog::Write(AccessEntry entry) {
  bool wake = false;
  {
    std::lock_guard lock(mutex_);
    if (!running_) {
      const std::string line = FormatAccessEntry(entry, format_, own_cluster_);
      std::fwrite(line.data(), 1, line.size(), out_);
      std::fflush(out_);
      return;
    }
    if (queue_.size() >= kQueueLimit) {
      dropped_.fetch_add(1, std::memory_order_relaxed);
      return;
    }
    wake = queue_.empty();
    queue_.push_back(std::move(entry));
  }
  if (wake) wake_.notify_one();
}

void AccessLog::RunWriter() {
  uint64_t reported = 0;
  while (true) {
    std::vector<AccessEntry> batch;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [this] { return !queue_.empty() || !running_; });
      batch.swap(queue_);
      if (batch.empty()) return;
    }
    std::string text;
    for (const AccessEntry& entry : batch) text += FormatAccessEntry(entry, format_, own_cluster_);
    std::fwrite(text.data(), 1, text.size(), out_);
    std::fflush(out_);
    if (const uint64_t now = dropped(); now != reported) {
      logger_->warn("access log lines dropped count={}", now - reported);
      reported = now;
    }
  }
}

}  // namespace mesh::telemetry
