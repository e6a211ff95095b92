// Writes JSON as it goes: no tree is built, so that a dump of 100,000 workloads costs its text
// alone. Commas are the writer's business; nesting is the caller's (checked at Finish).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace mesh::admin {

class JsonWriter {
 public:
  void BeginObject();
  void EndObject();
  void BeginArray();
  void EndArray();
  void Key(std::string_view key);
  void String(std::string_view value);  // bytes that are not UTF-8 become U+FFFD
  void Number(int64_t value);
  void Bool(bool value);
  void Null();

  void Member(std::string_view key, std::string_view value) { Key(key), String(value); }
  void Member(std::string_view key, const char* value) { Key(key), String(value); }
  void Member(std::string_view key, int64_t value) { Key(key), Number(value); }
  void Member(std::string_view key, int value) { Key(key), Number(value); }
  void Member(std::string_view key, bool value) { Key(key), Bool(value); }
  // Left out when empty.
  void MemberIfAny(std::string_view key, std::string_view value) {
    if (!value.empty()) Member(key, value);
  }

  std::string Finish() &&;

 private:
  void Separate();

  std::string out_;
  std::vector<bool> has_items_;  // one a level
  bool after_key_ = false;
};

}  // namespace mesh::admin
