#include "ztunnel/base/yaml.h"

#include <fmt/format.h>
#include <yaml-cpp/yaml.h>

#include <charconv>
#include <cstdlib>
#include <optional>

#include "ztunnel/base/status.h"
#include "ztunnel/base/utf8.h"

namespace mesh {
namespace {

using Json = google::protobuf::Value;

constexpr size_t kMaxText = 4 << 20;
constexpr int kMaxNodes = 200'000;
constexpr int kMaxDepth = 64;

std::optional<bool> BoolOf(std::string_view text) {
  for (std::string_view yes : {"true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON"}) {
    if (text == yes) return true;
  }
  for (std::string_view no : {"false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF"}) {
    if (text == no) return false;
  }
  return std::nullopt;
}

std::optional<double> NumberOf(const std::string& text) {
  if (text.empty()) return std::nullopt;
  const char first = text[0];
  if (first != '-' && first != '+' && first != '.' && (first < '0' || first > '9')) {
    return std::nullopt;
  }
  if (text.find_first_not_of("0123456789+-.eExXabcdefABCDEF") != std::string::npos) {
    return std::nullopt;
  }
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  if (end != text.c_str() + text.size()) return std::nullopt;
  return value;
}

class Converter {
 public:
  Converter(YamlDocument& document, int offset) : document_(document), offset_(offset) {}

  absl::Status Convert(const YAML::Node& node, const std::string& path, int depth, Json& out) {
    if (++nodes_ > kMaxNodes) return Invalid("document has more than {} nodes", kMaxNodes);
    if (depth > kMaxDepth) return Invalid("{}: nested deeper than {}", path, kMaxDepth);
    if (!path.empty()) document_.lines.emplace(path, offset_ + node.Mark().line + 1);
    switch (node.Type()) {
      case YAML::NodeType::Scalar:
        ConvertScalar(node, out);
        return absl::OkStatus();
      case YAML::NodeType::Sequence: {
        auto& list = *out.mutable_list_value();
        int index = 0;
        for (const YAML::Node& element : node) {
          RETURN_IF_ERROR(Convert(element, fmt::format("{}[{}]", path, index++), depth + 1,
                                  *list.add_values()));
        }
        return absl::OkStatus();
      }
      case YAML::NodeType::Map: {
        auto& fields = *out.mutable_struct_value()->mutable_fields();
        for (const auto& entry : node) {
          if (!entry.first.IsScalar()) return Invalid("{}: a key is no scalar", path);
          const std::string& key = entry.first.Scalar();
          if (fields.contains(key)) {
            return Invalid("{}{}{}: given twice", path, path.empty() ? "" : ".", key);
          }
          RETURN_IF_ERROR(
              Convert(entry.second, path.empty() ? key : path + "." + key, depth + 1, fields[key]));
        }
        return absl::OkStatus();
      }
      default:
        out.set_null_value(google::protobuf::NULL_VALUE);
        return absl::OkStatus();
    }
  }

 private:
  static void ConvertScalar(const YAML::Node& node, Json& out) {
    const std::string& text = node.Scalar();
    const bool plain = node.Tag() == "?" || node.Tag().empty();  // "!" is a quoted scalar
    if (!plain) {
      out.set_string_value(text);
    } else if (text == "null" || text == "~" || text == "Null" || text == "NULL" || text.empty()) {
      out.set_null_value(google::protobuf::NULL_VALUE);
    } else if (const auto boolean = BoolOf(text)) {
      out.set_bool_value(*boolean);
    } else if (const auto number = NumberOf(text)) {
      out.set_number_value(*number);
    } else {
      out.set_string_value(text);
    }
  }

  YamlDocument& document_;
  const int offset_;  // lines of the file before this document
  int nodes_ = 0;
};

YamlDocument ReadOne(const std::string& text, int offset) {
  YamlDocument document;
  document.line = offset + 1;
  // Anything else could be decoded here and by no client.
  if (!IsUtf8(text)) {
    document.status = Invalid("not UTF-8");
    return document;
  }
  try {
    const YAML::Node node = YAML::Load(text);
    if (node.Mark().line >= 0) document.line = offset + node.Mark().line + 1;
    document.status = Converter(document, offset).Convert(node, "", 0, document.value);
  } catch (const YAML::Exception& error) {
    document.line = offset + (error.mark.line >= 0 ? error.mark.line : 0) + 1;
    document.status = Invalid("not YAML: {} (column {})", error.msg, error.mark.column + 1);
  } catch (const std::exception& error) {
    document.status = Invalid("not YAML: {}", error.what());
  } catch (...) {
    document.status = Invalid("not YAML");
  }
  return document;
}

bool IsMarker(std::string_view line, std::string_view marker) {
  return line.substr(0, 3) == marker &&
         (line.size() == 3 || line[3] == ' ' || line[3] == '\t' || line[3] == '\r');
}

}  // namespace

int YamlDocument::LineOf(std::string_view field) const {
  std::string path(field);
  while (!path.empty()) {
    if (const auto it = lines.find(path); it != lines.end()) return it->second;
    const size_t cut = path.find_last_of(".[");
    if (cut == std::string::npos) break;
    path.resize(cut);
  }
  return line;
}

std::vector<YamlDocument> ReadYaml(std::string_view text) {
  std::vector<YamlDocument> documents;
  if (text.size() > kMaxText) {
    documents.emplace_back().status = Invalid("larger than {} bytes", kMaxText);
    return documents;
  }
  std::string current;
  int line_number = 0;
  int start = 0;
  const auto flush = [&] {
    if (current.find_first_not_of(" \t\r\n") != std::string::npos) {
      YamlDocument document = ReadOne(current, start);
      if (!document.status.ok() || document.value.kind_case() != Json::kNullValue) {
        documents.push_back(std::move(document));
      }
    }
    current.clear();
  };
  for (size_t begin = 0; begin < text.size();) {
    size_t end = text.find('\n', begin);
    if (end == std::string_view::npos) end = text.size();
    const std::string_view line = text.substr(begin, end - begin);
    if (IsMarker(line, "---")) {
      flush();
      start = line_number;
      // What follows the marker on its line belongs to the document.
      current.append("   ").append(line.substr(3)).push_back('\n');
    } else if (IsMarker(line, "...")) {
      flush();
      start = line_number + 1;
    } else {
      current.append(line).push_back('\n');
    }
    ++line_number;
    begin = end + 1;
  }
  flush();
  return documents;
}

}  // namespace mesh
