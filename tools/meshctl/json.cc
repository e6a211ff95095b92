#include "tools/meshctl/json.h"

#include <fmt/format.h>
#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/json_util.h>

#include <cmath>

#include "ztunnel/base/status.h"

namespace mesh::meshctl {
namespace {

void WriteString(std::string& out, std::string_view text) {
  out += '"';
  for (const char c : text) {
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20) {
          out += fmt::format("\\u{:04x}", static_cast<int>(c));
        } else {
          out += c;
        }
    }
  }
  out += '"';
}

std::string NumberText(double number) {
  if (std::isfinite(number) && number == std::floor(number) && std::fabs(number) < 9.0e15) {
    return fmt::format("{}", static_cast<int64_t>(number));
  }
  return fmt::format("{}", number);
}

void NewLine(std::string& out, int indent, bool pretty) {
  if (!pretty) return;
  out += '\n';
  out.append(static_cast<size_t>(indent) * 2, ' ');
}

}  // namespace

Json Json::Obj(std::initializer_list<std::pair<const char*, Json>> members) {
  Object object;
  for (const auto& [key, value] : members) object[key] = value;
  return Json(std::move(object));
}

Json Json::From(const google::protobuf::Value& value) {
  switch (value.kind_case()) {
    case google::protobuf::Value::kBoolValue:
      return Json(value.bool_value());
    case google::protobuf::Value::kNumberValue:
      return Json(value.number_value());
    case google::protobuf::Value::kStringValue:
      return Json(value.string_value());
    case google::protobuf::Value::kListValue: {
      Json::Array items;
      for (const auto& item : value.list_value().values()) items.push_back(From(item));
      return Json(std::move(items));
    }
    case google::protobuf::Value::kStructValue: {
      Json::Object members;
      for (const auto& [key, member] : value.struct_value().fields()) {
        members[key] = From(member);
      }
      return Json(std::move(members));
    }
    default:
      return Json();
  }
}

absl::StatusOr<Json> Json::Parse(std::string_view text) {
  google::protobuf::Value value;
  const auto status =
      google::protobuf::util::JsonStringToMessage({text.data(), text.size()}, &value);
  if (!status.ok()) return Invalid("not JSON: {}", status.ToString());
  return From(value);
}

std::string Json::Dump(bool pretty) const {
  std::string out;
  Write(out, 0, pretty);
  return out;
}

bool Json::Empty() const {
  return IsNull() || (IsString() && std::get<std::string>(value_).empty()) ||
         (IsArray() && Items().empty()) || (IsObject() && Members().empty());
}

const Json& Json::At(std::string_view key) const {
  static const Json null;
  if (!IsObject()) return null;
  const auto& members = std::get<Object>(value_);
  const auto it = members.find(key);
  return it == members.end() ? null : it->second;
}

const Json& Json::Get(std::initializer_list<std::string_view> path) const {
  const Json* at = this;
  for (const std::string_view key : path) at = &at->At(key);
  return *at;
}

std::string Json::Str(std::string_view otherwise) const {
  if (IsString()) return std::get<std::string>(value_);
  if (IsNumber()) return NumberText(std::get<double>(value_));
  if (IsBool()) return std::get<bool>(value_) ? "true" : "false";
  return std::string(otherwise);
}

double Json::Num(double otherwise) const {
  if (IsNumber()) return std::get<double>(value_);
  if (IsString()) {
    const std::string& text = std::get<std::string>(value_);
    char* end = nullptr;
    const double number = std::strtod(text.c_str(), &end);
    if (!text.empty() && end == text.c_str() + text.size()) return number;
  }
  return otherwise;
}

bool Json::Bool(bool otherwise) const { return IsBool() ? std::get<bool>(value_) : otherwise; }

const Json::Array& Json::Items() const {
  static const Array none;
  return IsArray() ? std::get<Array>(value_) : none;
}

const Json::Object& Json::Members() const {
  static const Object none;
  return IsObject() ? std::get<Object>(value_) : none;
}

Json& Json::operator[](std::string_view key) {
  if (!IsObject()) value_ = Object();
  auto& members = std::get<Object>(value_);
  const auto it = members.find(key);
  return it != members.end() ? it->second : members[std::string(key)];
}

void Json::Push(Json item) {
  if (!IsArray()) value_ = Array();
  std::get<Array>(value_).push_back(std::move(item));
}

void Json::Erase(std::string_view key) {
  if (!IsObject()) return;
  auto& members = std::get<Object>(value_);
  if (const auto it = members.find(key); it != members.end()) members.erase(it);
}

void Json::Merge(const Json& patch) {
  if (!patch.IsObject()) {
    *this = patch;
    return;
  }
  if (!IsObject()) value_ = Object();
  for (const auto& [key, value] : patch.Members()) {
    if (value.IsNull()) {
      Erase(key);
    } else {
      (*this)[key].Merge(value);
    }
  }
}

void Json::Write(std::string& out, int indent, bool pretty) const {
  if (IsArray() || IsObject()) {
    const bool array = IsArray();
    if (Empty()) {
      out += array ? "[]" : "{}";
      return;
    }
    out += array ? '[' : '{';
    bool first = true;
    const auto next = [&] {
      if (!first) out += ',';
      first = false;
      NewLine(out, indent + 1, pretty);
    };
    for (const Json& item : Items()) {
      next();
      item.Write(out, indent + 1, pretty);
    }
    for (const auto& [key, member] : Members()) {
      next();
      WriteString(out, key);
      out += pretty ? ": " : ":";
      member.Write(out, indent + 1, pretty);
    }
    NewLine(out, indent, pretty);
    out += array ? ']' : '}';
  } else if (IsString()) {
    WriteString(out, std::get<std::string>(value_));
  } else {
    out += Str("null");
  }
}

}  // namespace mesh::meshctl
