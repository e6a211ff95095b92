#include "ztunnel/base/log.h"

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <optional>
#include <vector>

#include "ztunnel/base/utf8.h"

namespace mesh {
namespace {

// The one piece of global state that a process keeps: where log lines go.
struct Registry {
  std::mutex mutex;
  std::shared_ptr<spdlog::sinks::sink> sink = std::make_shared<spdlog::sinks::stdout_sink_mt>();
  spdlog::level::level_enum default_level = spdlog::level::info;
  std::map<std::string, spdlog::level::level_enum> levels;
  std::map<std::string, std::shared_ptr<spdlog::logger>> loggers;
};

Registry& registry() {
  static Registry* instance = new Registry();  // never destroyed: threads may log during exit
  return *instance;
}

std::optional<spdlog::level::level_enum> ParseLevel(std::string_view word) {
  if (word == "trace") return spdlog::level::trace;
  if (word == "debug") return spdlog::level::debug;
  if (word == "info") return spdlog::level::info;
  if (word == "warn" || word == "warning") return spdlog::level::warn;
  if (word == "error" || word == "err") return spdlog::level::err;
  if (word == "off") return spdlog::level::off;
  return std::nullopt;
}

std::string_view LevelName(spdlog::level::level_enum level) {
  switch (level) {
    case spdlog::level::trace:
      return "trace";
    case spdlog::level::debug:
      return "debug";
    case spdlog::level::warn:
      return "warn";
    case spdlog::level::err:
    case spdlog::level::critical:
      return "error";
    case spdlog::level::off:
      return "off";
    default:
      return "info";
  }
}

class LevelFlag : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& msg, const std::tm&,
              spdlog::memory_buf_t& dest) override {
    const std::string_view name = LevelName(msg.level);
    dest.append(name.data(), name.data() + name.size());
  }
  std::unique_ptr<custom_flag_formatter> clone() const override {
    return std::make_unique<LevelFlag>();
  }
};

void EscapeJson(std::string_view in, spdlog::memory_buf_t& out) {
  ForEachUtf8(in, [&](std::string_view piece) {
    const char c = piece.front();
    if (c == '"' || c == '\\') {
      out.push_back('\\');
      out.push_back(c);
    } else if (static_cast<unsigned char>(c) < 0x20) {
      fmt::format_to(std::back_inserter(out), "\\u{:04x}", static_cast<unsigned char>(c));
    } else {
      out.append(piece);
    }
  });
}

class JsonPayload : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& msg, const std::tm&,
              spdlog::memory_buf_t& dest) override {
    EscapeJson(std::string_view(msg.payload.data(), msg.payload.size()), dest);
  }
  std::unique_ptr<custom_flag_formatter> clone() const override {
    return std::make_unique<JsonPayload>();
  }
};

// Applies "info,xds=debug" to `r`; nothing on a bad word when `strict`.
bool Apply(Registry& r, std::string_view spec, bool strict) {
  std::optional<spdlog::level::level_enum> all;
  std::map<std::string, spdlog::level::level_enum> scopes;
  while (!spec.empty()) {
    const size_t comma = spec.find(',');
    const std::string_view part = spec.substr(0, comma);
    spec = comma == std::string_view::npos ? "" : spec.substr(comma + 1);
    const size_t equals = part.find('=');
    const auto level =
        ParseLevel(equals == std::string_view::npos ? part : part.substr(equals + 1));
    if (!level) {
      if (strict) return false;
      continue;
    }
    if (equals == std::string_view::npos) {
      all = level;
    } else {
      scopes[std::string(part.substr(0, equals))] = *level;
    }
  }
  if (all) {
    r.default_level = *all;
    r.levels.clear();
  }
  for (const auto& [scope, level] : scopes) r.levels[scope] = level;
  for (const auto& [scope, logger] : r.loggers) {
    const auto it = r.levels.find(scope);
    logger->set_level(it == r.levels.end() ? r.default_level : it->second);
  }
  return true;
}

}  // namespace

void InitLogging(std::string_view level, LogFormat format) {
  auto formatter = std::make_unique<spdlog::pattern_formatter>(spdlog::pattern_time_type::utc);
  formatter->add_flag<LevelFlag>('K').add_flag<JsonPayload>('J');
  formatter->set_pattern(
      format == LogFormat::kJson
          ? R"({"level":"%K","time":"%Y-%m-%dT%H:%M:%S.%fZ","scope":"%n","message":"%J"})"
          : "%Y-%m-%dT%H:%M:%S.%fZ\t%K\t%n\t%v");
  Registry& r = registry();
  std::lock_guard lock(r.mutex);
  r.sink->set_formatter(std::move(formatter));
  Apply(r, level, /*strict=*/false);
}

std::shared_ptr<spdlog::logger> Logger(const std::string& scope) {
  Registry& r = registry();
  std::lock_guard lock(r.mutex);
  auto& logger = r.loggers[scope];
  if (!logger) {
    logger = std::make_shared<spdlog::logger>(scope, r.sink);
    const auto it = r.levels.find(scope);
    logger->set_level(it == r.levels.end() ? r.default_level : it->second);
    logger->flush_on(spdlog::level::trace);
  }
  return logger;
}

bool SetLogLevels(std::string_view spec) {
  Registry& r = registry();
  std::lock_guard lock(r.mutex);
  return Apply(r, spec, /*strict=*/true);
}

std::string LogLevels() {
  Registry& r = registry();
  std::lock_guard lock(r.mutex);
  std::string text(LevelName(r.default_level));
  for (const auto& [scope, level] : r.levels) {
    text += fmt::format(",{}={}", scope, LevelName(level));
  }
  return text;
}

std::string Quoted(std::string_view value) {
  spdlog::memory_buf_t out;
  out.push_back('"');
  EscapeJson(value, out);
  out.push_back('"');
  return std::string(out.data(), out.size());
}

void Fatal(std::string_view what, int error) {
  Logger("fatal")->critical("{}{}{}", what, error ? ": " : "",
                            error ? ::strerrordesc_np(error) : "");
  std::abort();
}

}  // namespace mesh
