#include "tools/meshctl/yaml.h"

#include <algorithm>

#include "ztunnel/base/status.h"
#include "ztunnel/base/yaml.h"

namespace mesh::meshctl {
namespace {

// Could a reader take this text for a number, a time of day or a date? Readers differ in what they
// know (0x1f, 0o17, 017, 1e3, 1_000, 1:30, 2026-01-02T03:04:05Z, .inf), so all count; an address or
// a version has more than one dot and no colon, and is none of them.
bool LooksNumeric(std::string_view text) {
  if (!std::isdigit(static_cast<unsigned char>(text.front())) && text.front() != '.' &&
      text.front() != '+') {
    return false;
  }
  const bool dotted = std::isdigit(static_cast<unsigned char>(text.front())) &&
                      std::count(text.begin(), text.end(), '.') > 1 &&
                      text.find(':') == std::string_view::npos;
  return !dotted && text.find_first_not_of("0123456789abcdefABCDEFiInNoOpPtTxXzZ+-._: ") ==
                        std::string_view::npos;
}

bool IsWord(std::string_view text) {
  for (const std::string_view word :
       {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}) {
    if (text.size() == word.size() &&
        std::equal(text.begin(), text.end(), word.begin(),
                   [](unsigned char a, char b) { return std::tolower(a) == b; })) {
      return true;
    }
  }
  return false;
}

// Would a plain scalar of this text be read back as this text?
bool IsPlainSafe(std::string_view text) {
  if (text.empty() || text.front() == ' ' || text.back() == ' ') return false;
  constexpr std::string_view kLeading = "-?:,[]{}#&*!|>'\"%@`~=<";
  if (kLeading.find(text.front()) != std::string_view::npos) return false;
  if (LooksNumeric(text) || IsWord(text)) return false;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (c < 0x20 || c == 0x7f) return false;
    if (c == ':' && (i + 1 == text.size() || text[i + 1] == ' ')) return false;
    if (c == '#' && text[i - 1] == ' ') return false;
  }
  return true;
}

std::string Scalar(const Json& value) {
  if (!value.IsString()) return value.Dump();
  const std::string text = value.Str();
  return IsPlainSafe(text) ? text : value.Dump();  // a JSON string is a YAML string
}

bool IsBlock(const Json& value) { return (value.IsObject() || value.IsArray()) && !value.Empty(); }

void Emit(const Json& value, int indent, std::string& out, bool first_inline) {
  const std::string pad(static_cast<size_t>(indent) * 2, ' ');
  bool first = first_inline;
  for (const auto& [key, member] : value.Members()) {
    out += (first ? "" : pad) + Scalar(Json(key)) + ":";
    first = false;
    if (!IsBlock(member)) {
      out += " " + Scalar(member) + "\n";
    } else {
      out += "\n";
      Emit(member, member.IsArray() ? indent : indent + 1, out, false);
    }
  }
  for (const Json& item : value.Items()) {
    out += (first ? "" : pad) + "- ";
    first = false;
    if (IsBlock(item)) {
      Emit(item, indent + 1, out, true);
    } else {
      out += Scalar(item) + "\n";
    }
  }
}

}  // namespace

absl::StatusOr<std::vector<Document>> ParseYaml(std::string_view text) {
  std::vector<Document> documents;
  for (const YamlDocument& document : ReadYaml(text)) {
    if (!document.status.ok())
      return Invalid("line {}: {}", document.line, MessageOf(document.status));
    documents.push_back({Json::From(document.value), document.line});
  }
  return documents;
}

std::string ToYaml(const Json& value) {
  if (!IsBlock(value)) return Scalar(value) + "\n";
  std::string out;
  Emit(value, 0, out, false);
  return out;
}

}  // namespace mesh::meshctl
