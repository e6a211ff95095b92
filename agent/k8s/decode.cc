#include "agent/k8s/decode.h"

#include <fmt/format.h>
#include <google/protobuf/descriptor.h>

#include <charconv>
#include <cmath>
#include <limits>

namespace mesh::k8s {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

constexpr int64_t kExact = int64_t{1} << 53;  // a JSON number is a double

class Decoder {
 public:
  explicit Decoder(std::vector<Issue>& issues) : issues_(issues) {}

  void DecodeMessage(const Json& json, const std::string& path, Message& out) {
    if (auto* value = google::protobuf::DynamicCastToGenerated<Json>(&out)) {
      *value = json;
      return;
    }
    if (json.kind_case() != Json::kStructValue) return Mismatch(path, "an object", json);
    for (const auto& [name, value] : json.struct_value().fields()) {
      const std::string field_path = path.empty() ? name : path + "." + name;
      const FieldDescriptor* field = FindField(out, name);
      if (field == nullptr) {
        issues_.push_back({Level::kWarning, field_path, kUnknownField});
      } else if (value.kind_case() != Json::kNullValue) {
        DecodeField(value, field_path, *field, out);
      }
    }
  }

 private:
  static const FieldDescriptor* FindField(const Message& out, const std::string& name) {
    const auto* descriptor = out.GetDescriptor();
    for (int i = 0; i < descriptor->field_count(); ++i) {
      if (descriptor->field(i)->json_name() == name) return descriptor->field(i);
    }
    return nullptr;
  }

  void DecodeField(const Json& json, const std::string& path, const FieldDescriptor& field,
                   Message& out) {
    const Reflection& reflection = *out.GetReflection();
    if (field.is_map()) {
      DecodeMap(json, path, field, out);
    } else if (field.is_repeated()) {
      if (json.kind_case() != Json::kListValue) return Mismatch(path, "a list", json);
      int index = 0;
      for (const Json& element : json.list_value().values()) {
        const std::string element_path = fmt::format("{}[{}]", path, index++);
        if (field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
          Message& added = *reflection.AddMessage(&out, &field);
          if (element.kind_case() != Json::kNullValue) DecodeMessage(element, element_path, added);
        } else {
          DecodeScalar(element, element_path, field, out);
        }
      }
    } else if (field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      DecodeMessage(json, path, *reflection.MutableMessage(&out, &field));
    } else {
      DecodeScalar(json, path, field, out);
    }
  }

  void DecodeMap(const Json& json, const std::string& path, const FieldDescriptor& field,
                 Message& out) {
    if (json.kind_case() != Json::kStructValue) return Mismatch(path, "an object", json);
    const FieldDescriptor& key = *field.message_type()->map_key();
    const FieldDescriptor& value = *field.message_type()->map_value();
    for (const auto& [name, member] : json.struct_value().fields()) {
      const std::string member_path = path + "." + name;
      uint32_t number = 0;
      if (key.cpp_type() == FieldDescriptor::CPPTYPE_UINT32) {
        const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
        if (error != std::errc() || end != name.data() + name.size()) {
          issues_.push_back({Level::kError, member_path, "the key must be a number"});
          continue;
        }
      }
      Message& entry = *out.GetReflection()->AddMessage(&out, &field);
      if (key.cpp_type() == FieldDescriptor::CPPTYPE_UINT32) {
        entry.GetReflection()->SetUInt32(&entry, &key, number);
      } else {
        entry.GetReflection()->SetString(&entry, &key, name);
      }
      if (member.kind_case() != Json::kNullValue) {
        DecodeField(member, member_path, value, entry);
      }
    }
  }

  // Sets the field, or adds to it when it is repeated.
  void DecodeScalar(const Json& json, const std::string& path, const FieldDescriptor& field,
                    Message& out) {
    const Reflection& reflection = *out.GetReflection();
    const bool add = field.is_repeated();
    switch (field.cpp_type()) {
      case FieldDescriptor::CPPTYPE_STRING:
        if (json.kind_case() != Json::kStringValue) return Mismatch(path, "a string", json);
        add ? reflection.AddString(&out, &field, json.string_value())
            : reflection.SetString(&out, &field, json.string_value());
        return;
      case FieldDescriptor::CPPTYPE_BOOL:
        if (json.kind_case() != Json::kBoolValue) return Mismatch(path, "true or false", json);
        reflection.SetBool(&out, &field, json.bool_value());
        return;
      case FieldDescriptor::CPPTYPE_INT32: {
        const auto number = Integer(json, path, std::numeric_limits<int32_t>::min(),
                                    std::numeric_limits<int32_t>::max());
        if (number) reflection.SetInt32(&out, &field, static_cast<int32_t>(*number));
        return;
      }
      case FieldDescriptor::CPPTYPE_UINT32: {
        const auto number = Integer(json, path, 0, std::numeric_limits<uint32_t>::max());
        if (!number) return;
        const auto value = static_cast<uint32_t>(*number);
        add ? reflection.AddUInt32(&out, &field, value) : reflection.SetUInt32(&out, &field, value);
        return;
      }
      case FieldDescriptor::CPPTYPE_INT64:
        if (const auto number = Integer(json, path, -kExact, kExact)) {
          reflection.SetInt64(&out, &field, *number);
        }
        return;
      case FieldDescriptor::CPPTYPE_UINT64:
        if (const auto number = Integer(json, path, 0, kExact)) {
          reflection.SetUInt64(&out, &field, static_cast<uint64_t>(*number));
        }
        return;
      case FieldDescriptor::CPPTYPE_DOUBLE:
        if (json.kind_case() != Json::kNumberValue) return Mismatch(path, "a number", json);
        reflection.SetDouble(&out, &field, json.number_value());
        return;
      case FieldDescriptor::CPPTYPE_ENUM: {
        const auto* type = field.enum_type();
        if (json.kind_case() == Json::kStringValue) {
          if (const auto* value = type->FindValueByName(json.string_value())) {
            reflection.SetEnum(&out, &field, value);
            return;
          }
        }
        std::string words;
        for (int i = 0; i < type->value_count(); ++i) {
          words += (i > 0 ? ", " : "") + type->value(i)->name();
        }
        issues_.push_back(
            {Level::kError, path, fmt::format("unknown value {}; one of {}", ToText(json), words)});
        return;
      }
      default:
        issues_.push_back({Level::kError, path, "a type that no message uses"});
    }
  }

  std::optional<int64_t> Integer(const Json& json, const std::string& path, int64_t low,
                                 int64_t high) {
    double number = json.number_value();
    if (json.kind_case() == Json::kStringValue) {
      int64_t parsed = 0;
      const std::string& text = json.string_value();
      const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), parsed);
      if (error != std::errc() || end != text.data() + text.size()) {
        Mismatch(path, "a number", json);
        return std::nullopt;
      }
      number = static_cast<double>(parsed);
    } else if (json.kind_case() != Json::kNumberValue) {
      Mismatch(path, "a number", json);
      return std::nullopt;
    }
    if (!(number >= static_cast<double>(low) && number <= static_cast<double>(high)) ||
        std::floor(number) != number) {
      issues_.push_back(
          {Level::kError, path,
           fmt::format("must be a whole number in {}..{}, not {}", low, high, number)});
      return std::nullopt;
    }
    return static_cast<int64_t>(number);
  }

  void Mismatch(const std::string& path, std::string_view wanted, const Json& got) {
    std::string text = ToText(got);
    if (text.size() > 60) text = text.substr(0, 60) + "...";
    issues_.push_back(
        {Level::kError, path, fmt::format("must be {}, not {} ({})", wanted, KindOf(got), text)});
  }

  std::vector<Issue>& issues_;
};

}  // namespace

void Decode(const Json& json, Message& out, std::vector<Issue>& issues) {
  Decoder(issues).DecodeMessage(json, "", out);
}

bool HasError(const std::vector<Issue>& issues) {
  for (const Issue& issue : issues) {
    if (issue.level == Level::kError) return true;
  }
  return false;
}

}  // namespace mesh::k8s
