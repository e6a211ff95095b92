// Reads the environment's variables into fields.
//
// Used by settings.cc alone. An empty value counts as none, but for texts.
#pragma once

#include <absl/status/status.h>
#include <absl/time/time.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <string>
#include <string_view>

#include "ztunnel/base/log.h"
#include "ztunnel/base/status.h"

namespace mesh::cmd {

// Reads variables into fields; keeps the first error and goes on, so that each line below is one
// setting.
class SettingsReader {
 public:
  explicit SettingsReader(const std::map<std::string, std::string>& environment)
      : environment_(environment) {}

  const std::string* Find(const std::string& name) const {
    const auto it = environment_.find(name);
    return it == environment_.end() ? nullptr : &it->second;
  }
  // Empty when it is not set.
  std::string_view Value(const std::string& name) const {
    const std::string* value = Find(name);
    return value == nullptr ? std::string_view() : *value;
  }
  void Text(const std::string& name, std::string& field) const {
    if (const auto* value = Find(name)) field = *value;
  }
  // As Text; an empty value is no name.
  void Name(const std::string& name, std::string& field) const {
    if (!Value(name).empty()) field = Value(name);
  }
  void Bool(const std::string& name, bool& field) {
    const auto* value = Find(name);
    if (value == nullptr || value->empty()) return;
    if (*value == "true" || *value == "1") {
      field = true;
    } else if (*value == "false" || *value == "0") {
      field = false;
    } else {
      Fail(name, *value, "true or false");
    }
  }
  template <typename T>
  void Number(const std::string& name, T& field, T min, T max) {
    const auto* value = Find(name);
    if (value != nullptr && !value->empty()) NumberIn(name, *value, field, min, max);
  }
  template <typename T>
  void NumberIn(const std::string& name, const std::string& value, T& field, T min, T max) {
    T number{};
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
    if (error != std::errc() || end != value.data() + value.size() || number < min ||
        number > max) {
      Fail(name, value, fmt::format("a number from {} to {}", min, max));
      return;
    }
    field = number;
  }
  void Duration(const std::string& name, absl::Duration& field) {
    const auto* value = Find(name);
    if (value == nullptr || value->empty()) return;
    absl::Duration duration;
    if (!absl::ParseDuration(*value, &duration) || duration < absl::ZeroDuration()) {
      Fail(name, *value, "a duration such as 30s or 5m");
      return;
    }
    field = duration;
  }
  void WithPrefix(const std::string& prefix, std::map<std::string, std::string>& headers) const {
    for (auto it = environment_.lower_bound(prefix);
         it != environment_.end() && it->first.starts_with(prefix); ++it) {
      std::string name = it->first.substr(prefix.size());
      std::transform(name.begin(), name.end(), name.begin(), [](char c) {
        return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
      });
      if (!name.empty()) headers.emplace(std::move(name), it->second);
    }
  }
  void Fail(const std::string& name, const std::string& value, std::string_view wanted) {
    if (error_.ok()) error_ = Invalid("{}={} is not {}", name, Quoted(value), wanted);
  }
  // For what is understood and not done: it is refused rather than done otherwise in silence.
  void Refuse(const std::string& name, std::string_view why) {
    if (error_.ok()) error_ = Invalid("{}={} is not supported: {}", name, Quoted(Value(name)), why);
  }
  const absl::Status& error() const { return error_; }

 private:
  const std::map<std::string, std::string>& environment_;
  absl::Status error_;
};

}  // namespace mesh::cmd
