// A JSON document as a value, for objects whose kind meshctl need not know.
//
// Members are kept sorted, so that what is printed is stable. Numbers are doubles; whole ones print
// without a fraction. Reading something that is not there gives null, "" or 0, never an error: a
// caller that must have a field asks for it by name and says what is missing.
#pragma once

#include <absl/status/statusor.h>

#include <functional>
#include <initializer_list>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace google::protobuf {
class Value;
}

namespace mesh::meshctl {

class Json {
 public:
  using Array = std::vector<Json>;
  using Object = std::map<std::string, Json, std::less<>>;

  Json() = default;
  Json(bool value) : value_(value) {}                           // NOLINT: a value, like a literal
  Json(double value) : value_(value) {}                         // NOLINT
  Json(int value) : value_(static_cast<double>(value)) {}       // NOLINT
  Json(int64_t value) : value_(static_cast<double>(value)) {}   // NOLINT
  Json(const char* value) : value_(std::string(value)) {}       // NOLINT
  Json(std::string value) : value_(std::move(value)) {}         // NOLINT
  Json(std::string_view value) : value_(std::string(value)) {}  // NOLINT
  Json(Array value) : value_(std::move(value)) {}               // NOLINT
  Json(Object value) : value_(std::move(value)) {}              // NOLINT
  static Json Obj(std::initializer_list<std::pair<const char*, Json>> members);

  static Json From(const google::protobuf::Value& value);
  static absl::StatusOr<Json> Parse(std::string_view text);
  std::string Dump(bool pretty = false) const;

  bool IsNull() const { return std::holds_alternative<std::monostate>(value_); }
  bool IsString() const { return std::holds_alternative<std::string>(value_); }
  bool IsNumber() const { return std::holds_alternative<double>(value_); }
  bool IsBool() const { return std::holds_alternative<bool>(value_); }
  bool IsArray() const { return std::holds_alternative<Array>(value_); }
  bool IsObject() const { return std::holds_alternative<Object>(value_); }
  bool Empty() const;  // null, "", [], {}

  const Json& At(std::string_view key) const;
  // The member below several: Get({"metadata", "name"}).
  const Json& Get(std::initializer_list<std::string_view> path) const;
  bool Has(std::string_view key) const { return !At(key).IsNull(); }
  // The text of a string; numbers and booleans as written in JSON; "" for the rest.
  std::string Str(std::string_view otherwise = "") const;
  double Num(double otherwise = 0) const;
  int Int(int otherwise = 0) const { return static_cast<int>(Num(otherwise)); }
  bool Bool(bool otherwise = false) const;
  const Array& Items() const;     // empty when this is no array
  const Object& Members() const;  // empty when this is no object

  // For building: makes this an object or array when it is not.
  Json& operator[](std::string_view key);
  void Push(Json item);
  void Erase(std::string_view key);
  // RFC 7396.
  void Merge(const Json& patch);

  bool operator==(const Json&) const = default;

 private:
  void Write(std::string& out, int indent, bool pretty) const;
  std::variant<std::monostate, bool, double, std::string, Array, Object> value_;
};

}  // namespace mesh::meshctl
