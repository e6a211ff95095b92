#include "agent/k8s/checker.h"

#include <fmt/format.h>
#include <re2/re2.h>

#include <set>

#include "agent/k8s/duration.h"
#include "ztunnel/base/ip.h"

namespace mesh::k8s {
namespace {

bool IsAlnum(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool IsAuthority(std::string_view name) { return name == ":authority" || name == "host"; }

std::string Lower(std::string text) {
  for (char& c : text) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return text;
}

}  // namespace

bool IsDomain(std::string_view name) {
  if (name.empty() || name.size() > 255) return false;
  if (name.back() == '.') name.remove_suffix(1);
  size_t length = 0;
  for (const char c : name) {
    if (c == '.') {
      if (length == 0) return false;
      length = 0;
      continue;
    }
    if ((!IsAlnum(c) && c != '-' && c != '_') || ++length > 63) return false;
  }
  return length > 0;
}

bool IsDnsLabel(std::string_view name) {
  if (name.empty() || name.size() > 63 || name.front() == '-' || name.back() == '-') return false;
  for (const char c : name) {
    const bool ok = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
    if (!ok) return false;
  }
  return true;
}

bool IsLabelKey(std::string_view key) {
  if (const size_t slash = key.find('/'); slash != std::string_view::npos) {
    if (!IsDomain(key.substr(0, slash))) return false;
    key = key.substr(slash + 1);
  }
  if (key.empty() || key.size() > 63) return false;
  for (const char c : key) {
    if (!IsAlnum(c) && c != '-' && c != '_' && c != '.') return false;
  }
  return true;
}

bool IsHeaderName(std::string_view name) {
  if (name.empty()) return false;
  for (const char c : name) {
    if (!IsAlnum(c) && c != '-' && c != '_') return false;
  }
  return true;
}

bool IsWildcard(std::string_view host) { return !host.empty() && host.front() == '*'; }

void FieldChecker::Error(std::string field, std::string reason) {
  issues_.push_back({Level::kError, std::move(field), std::move(reason)});
}

void FieldChecker::Warn(std::string field, std::string reason) {
  issues_.push_back({Level::kWarning, std::move(field), std::move(reason)});
}

void FieldChecker::CheckHost(const std::string& host, const std::string& field) {
  if (host.empty()) return Error(field, "required");
  std::string_view rest = host;
  if (IsWildcard(rest)) {
    rest.remove_prefix(1);
    if (rest.empty()) return;
    if (rest.front() == '.' || rest.front() == '-') rest.remove_prefix(1);
  } else if (IpAddress::Parse(host)) {
    return;
  }
  if (!IsDomain(rest)) Error(field, fmt::format("\"{}\" is no host name", host));
}

void FieldChecker::CheckPort(int64_t port, const std::string& field) {
  if (port < 1 || port > 65535) {
    Error(field, fmt::format("must be between 1-65535, not {}", port));
  }
}

void FieldChecker::CheckSubnet(const std::string& subnet, const std::string& field) {
  if (!IpPrefix::Parse(subnet)) {
    Error(field, fmt::format("\"{}\" is no IP address or CIDR range", subnet));
  }
}

void FieldChecker::CheckLabels(const Labels& labels, const std::string& field) {
  for (const auto& [key, value] : labels) {
    if (!IsLabelKey(key)) Error(field, fmt::format("\"{}\" is no label key", key));
  }
}

void FieldChecker::CheckNamespace(const std::string& ns, const std::string& field) {
  if (!IsDnsLabel(ns)) Error(field, fmt::format("\"{}\" is no namespace's name", ns));
}

void FieldChecker::CheckDuration(const std::string& text, const std::string& field, bool zero_too) {
  const auto duration = ParseDuration(text);
  if (!duration) {
    Error(field, fmt::format("\"{}\" is no duration (5s, 250ms, 1m30s)", text));
  } else if (zero_too && *duration == absl::ZeroDuration()) {
    return;
  } else if (*duration < absl::Milliseconds(1)) {
    Error(field, fmt::format("must be at least 1ms, not {}", text));
  } else if (*duration % absl::Milliseconds(1) != absl::ZeroDuration()) {
    Error(field, fmt::format("must be whole milliseconds, not {}", text));
  }
}

void FieldChecker::CheckRegex(const std::string& regex, const std::string& field) {
  constexpr size_t kMaxLength = 1024;
  if (regex.size() > kMaxLength) {
    return Error(field, fmt::format("longer than {} characters", kMaxLength));
  }
  RE2::Options options;
  options.set_log_errors(false);
  const RE2 compiled(regex, options);
  if (!compiled.ok()) {
    Error(field, fmt::format("\"{}\" is no RE2 expression: {}", regex, compiled.error()));
  }
}

void FieldChecker::CheckMatch(const api::StringMatch& match, const std::string& field,
                              bool empty_too) {
  const int how = match.has_exact() + match.has_prefix() + match.has_regex();
  if (how > 1) Error(field, "one of exact, prefix and regex, not several");
  if (how == 0 && !empty_too) Error(field, "one of exact, prefix and regex is required");
  if (match.has_regex()) {
    if (match.regex().empty()) Error(field + ".regex", "must not be empty");
    if (match.regex() != "*") CheckRegex(match.regex(), field + ".regex");
  }
}

void FieldChecker::CheckPercent(double percent, const std::string& field) {
  if (percent != 0 && !(percent >= 0.0001 && percent <= 100)) {
    Error(field, fmt::format("must be 0 or between 0.0001 and 100, not {}", percent));
  }
}

void FieldChecker::CheckExportTo(const Strings& values, const std::string& own_ns) {
  std::set<std::string> seen;
  for (int i = 0; i < values.size(); ++i) {
    const std::string field = fmt::format("spec.exportTo[{}]", i);
    const std::string& value = values[i];
    if (value == "~") {
      Error(field, "\"~\" is for ServiceEntry alone");
    } else if (value == "*") {
      if (values.size() > 1) Error(field, "\"*\" must be the only entry");
    } else if (value != ".") {
      CheckNamespace(value, field);
    }
    if (!seen.insert(value == "." ? own_ns : value).second) {
      Error(field, fmt::format("\"{}\" is named twice", value));
    }
  }
}

void FieldChecker::CheckHeaderRules(const api::HeaderRules& headers, const std::string& field) {
  CheckHeaderOperations(headers.request(), field + ".request", true);
  CheckHeaderOperations(headers.response(), field + ".response", false);
}

void FieldChecker::CheckHeaderOperations(const api::HeaderOperations& headers,
                                         const std::string& field, bool request) {
  int authorities = 0;
  const auto check = [&](const auto& pairs, const std::string& list) {
    for (const auto& [name, value] : pairs) {
      const std::string at = field + list + "." + name;
      const bool authority = request && IsAuthority(Lower(name));
      authorities += authority;
      if (!authority && !IsHeaderName(name)) {
        Error(at, fmt::format("\"{}\" is no name of a header that may be changed", name));
      }
      CheckHeaderValue(value, at);
    }
  };
  check(headers.set(), ".set");
  check(headers.add(), ".add");
  if (authorities > 1) Error(field, "the authority is set more than once");
  for (int i = 0; i < headers.remove_size(); ++i) {
    const std::string& name = headers.remove(i);
    if (!IsHeaderName(name) || IsAuthority(Lower(name))) {
      Error(fmt::format("{}.remove[{}]", field, i),
            fmt::format("\"{}\" is no name of a header that may be removed", name));
    }
  }
}

// %NAME% and %NAME(argument)%[:length] are substitutions, %% is a percent sign.
void FieldChecker::CheckHeaderValue(const std::string& value, const std::string& field) {
  for (const char c : value) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      return Error(field, "control characters are not allowed");
    }
  }
  bool inside = false;
  size_t depth = 0;
  for (size_t i = 0; i < value.size(); ++i) {
    if (value[i] == '(' && inside) ++depth;
    if (value[i] == ')' && depth > 0) --depth;
    if (value[i] != '%' || depth > 0) continue;
    if (!inside && i + 1 < value.size() && value[i + 1] == '%') {
      ++i;
    } else {
      inside = !inside;
    }
  }
  if (inside) {
    Error(field, fmt::format("\"{}\": a percent sign opens a substitution that does not end; a "
                             "literal one is written %%",
                             value));
  }
}

}  // namespace mesh::k8s
