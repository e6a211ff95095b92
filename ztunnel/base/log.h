// Logging: spdlog, one logger per component, "message key=value". CHECK ends the process on a state
// that only our own bug can reach.
#pragma once

#include <spdlog/spdlog.h>

#include <memory>
#include <string>
#include <string_view>

namespace mesh {

enum class LogFormat { kPlain, kJson };

// To be called once from main, before any thread. Lines go to stdout:
// `2026-01-02T03:04:05.000000Z<tab>info<tab>scope<tab>message key=value`, or one JSON object a
// line. `level` is spdlog's word or Rust's (trace debug info warn error off), optionally with
// `scope=level` parts separated by commas, as in RUST_LOG. Unknown words are ignored.
void InitLogging(std::string_view level, LogFormat format);

// The logger of a component ("xds", "access", "pods"); made at the first call. Thread-safe.
std::shared_ptr<spdlog::logger> Logger(const std::string& scope);

// Changes levels at run time with the same syntax; false when a word is no level (nothing changes).
bool SetLogLevels(std::string_view spec);
std::string LogLevels();  // "info,xds=debug"

// A value for key="value": quotes, backslashes and control bytes are escaped, so that a peer cannot
// forge a line.
std::string Quoted(std::string_view value);

[[noreturn]] void Fatal(std::string_view what, int error = 0);

}  // namespace mesh

#define MESH_CHECK(condition, message)                                         \
  do {                                                                         \
    if (!(condition)) ::mesh::Fatal("check failed: " #condition ": " message); \
  } while (false)
