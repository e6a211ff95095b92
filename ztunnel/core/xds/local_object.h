// An object of a local state's text, read field by field; what nobody read is an error.
#pragma once

#include <absl/status/status.h>
#include <google/protobuf/struct.pb.h>

#include <cmath>
#include <functional>
#include <set>
#include <string>
#include <utility>

#include "ztunnel/base/log.h"
#include "ztunnel/base/status.h"

namespace mesh::xds {

// The first error of a whole text; the rest is read on and does not count.
class LocalErrors {
 public:
  void Add(const std::string& path, std::string_view what) {
    if (status_.ok()) status_ = Invalid("{}: {}", path, what);
  }
  const absl::Status& status() const { return status_; }

 private:
  absl::Status status_;
};

class LocalObject {
 public:
  using Value = google::protobuf::Value;

  LocalObject(const Value& value, std::string path, LocalErrors& errors)
      : value_(value), path_(std::move(path)), errors_(errors) {
    if (value.kind_case() != Value::kStructValue) Fail("", "is no object");
  }
  ~LocalObject() {
    for (const auto& [key, value] : value_.struct_value().fields()) {
      if (!seen_.contains(key)) Fail(key, "is not known");
    }
  }
  LocalObject(const LocalObject&) = delete;
  LocalObject& operator=(const LocalObject&) = delete;

  void Fail(const std::string& key, std::string_view what) { errors_.Add(PathOf(key), what); }
  std::string PathOf(const std::string& key) const {
    return key.empty() || path_.empty() ? path_ + key : path_ + "." + key;
  }
  LocalErrors& errors() { return errors_; }

  // Null when there is none.
  const Value* Take(const std::string& key) {
    seen_.insert(key);
    const auto it = value_.struct_value().fields().find(key);
    if (it == value_.struct_value().fields().end() || it->second.kind_case() == Value::kNullValue) {
      return nullptr;
    }
    return &it->second;
  }
  std::string Text(const std::string& key) {
    const Value* value = Take(key);
    if (value == nullptr) return "";
    if (value->kind_case() != Value::kStringValue) Fail(key, "is no text");
    return value->string_value();
  }
  bool Bool(const std::string& key) {
    const Value* value = Take(key);
    if (value == nullptr) return false;
    if (value->kind_case() != Value::kBoolValue) Fail(key, "is not true or false");
    return value->bool_value();
  }
  uint32_t Number(const std::string& key, uint32_t max) {
    const Value* value = Take(key);
    return value == nullptr ? 0 : NumberOf(*value, key, max);
  }
  uint32_t NumberOf(const Value& value, const std::string& key, uint32_t max) {
    const double number = value.number_value();
    if (value.kind_case() == Value::kNumberValue && number >= 0 && number <= max &&
        number == std::floor(number)) {
      return static_cast<uint32_t>(number);
    }
    Fail(key, fmt::format("is no number up to {}", max));
    return 0;
  }
  // One of `words`, whose first is meant by no word.
  template <typename Enum, size_t N>
  Enum Word(const std::string& key, const std::pair<const char*, Enum> (&words)[N]) {
    const Value* value = Take(key);
    return value == nullptr ? words[0].second : WordOf(*value, key, words);
  }
  template <typename Enum, size_t N>
  Enum WordOf(const Value& value, const std::string& key,
              const std::pair<const char*, Enum> (&words)[N]) {
    for (const auto& [word, meaning] : words) {
      if (value.kind_case() == Value::kStringValue && value.string_value() == word) return meaning;
    }
    Fail(key, fmt::format("{} is not one of its words", Quoted(value.string_value())));
    return words[0].second;
  }
  void Each(const std::string& key,
            const std::function<void(const Value& value, const std::string& key)>& read) {
    const Value* value = Take(key);
    if (value == nullptr) return;
    if (value->kind_case() != Value::kListValue) return Fail(key, "is no list");
    for (int i = 0; i < value->list_value().values_size(); ++i) {
      read(value->list_value().values(i), fmt::format("{}[{}]", key, i));
    }
  }
  void EachText(const std::string& key,
                const std::function<void(const std::string& text, const std::string& key)>& read) {
    Each(key, [&](const Value& value, const std::string& at) {
      if (value.kind_case() != Value::kStringValue) return Fail(at, "is no text");
      read(value.string_value(), at);
    });
  }
  void EachMember(const std::string& key,
                  const std::function<void(const std::string& name, const Value& value)>& read) {
    const Value* value = Take(key);
    if (value == nullptr) return;
    if (value->kind_case() != Value::kStructValue) return Fail(key, "is no object");
    for (const auto& [name, member] : value->struct_value().fields()) read(name, member);
  }
  void Object(const std::string& key, const std::function<void(LocalObject& object)>& read) {
    if (const Value* value = Take(key)) {
      LocalObject object(*value, PathOf(key), errors_);
      read(object);
    }
  }

 private:
  const Value& value_;
  const std::string path_;
  LocalErrors& errors_;
  std::set<std::string> seen_;
};

}  // namespace mesh::xds
