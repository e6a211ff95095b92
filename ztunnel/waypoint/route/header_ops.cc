#include "ztunnel/waypoint/route/header_ops.h"

#include <iterator>

#include "proto/l7_common.pb.h"
#include "ztunnel/base/status.h"
#include "ztunnel/waypoint/http/chars.h"
#include "ztunnel/waypoint/route/compile.h"

namespace mesh::route {
namespace {

// The codecs' own: whoever could write them could smuggle.
constexpr std::string_view kFraming[] = {
    "connection", "content-length", "keep-alive",        "proxy-connection",
    "te",         "trailer",        "transfer-encoding", "upgrade"};

bool IsHost(std::string_view name) { return name == "host" || name == ":authority"; }

// `name` in lower case, when a route may touch it.
absl::StatusOr<std::string> NameOf(const std::string& name) {
  std::string lower = Lower(name);
  if (IsHost(lower)) return lower;
  if (!http::IsFieldName(lower)) return Invalid("\"{}\" is no header name", name);
  if (std::find(std::begin(kFraming), std::end(kFraming), lower) != std::end(kFraming))
    return Invalid("{} is the connection's, not a route's", lower);
  return lower;
}

absl::StatusOr<Template> ValueOf(const std::string& text) {
  const std::string_view trimmed = http::Trim(text);
  if (!http::IsFieldValue(trimmed)) return Invalid("\"{}\" is no header value", trimmed);
  return Template::Parse(trimmed);
}

absl::Status CompilePairs(const google::protobuf::RepeatedPtrField<l7::v1::HeaderOps::Pair>& pairs,
                          std::string_view what, bool request, std::vector<HeaderOps::Pair>& out,
                          std::optional<Template>& authority) {
  for (int i = 0; i < pairs.size(); ++i) {
    const std::string where = fmt::format("{}[{}]", what, i);
    ASSIGN_OR_RETURN(std::string name, WithContext(NameOf(pairs[i].name()), where));
    ASSIGN_OR_RETURN(Template value, WithContext(ValueOf(pairs[i].value()), where));
    if (!IsHost(name)) {
      out.push_back({std::move(name), std::move(value)});
    } else if (!request) {
      return Invalid("{}: {} of a response", where, name);
    } else if (!authority) {  // set is compiled before add, and beats it
      authority = std::move(value);
    }
  }
  return absl::OkStatus();
}

// A value, unless it is empty or foreign input made it one that HTTP does not allow.
std::optional<std::string> ValueFor(const Template& value, const Facts& facts) {
  std::string text = value.Text(facts, "");
  if (text.empty() || !http::IsFieldValue(text)) return std::nullopt;
  return text;
}

}  // namespace

absl::StatusOr<HeaderOps> CompileHeaderOps(const l7::v1::HeaderOps& ops, bool request) {
  HeaderOps out;
  for (int i = 0; i < ops.remove_size(); ++i) {
    const std::string where = fmt::format("remove[{}]", i);
    ASSIGN_OR_RETURN(std::string name, WithContext(NameOf(ops.remove(i)), where));
    if (IsHost(name)) return Invalid("{}: {} cannot be removed", where, name);
    out.remove.push_back(std::move(name));
  }
  RETURN_IF_ERROR(CompilePairs(ops.set(), "set", request, out.set, out.authority));
  RETURN_IF_ERROR(CompilePairs(ops.add(), "add", request, out.add, out.authority));
  return out;
}

void Apply(const HeaderOps& ops, const Facts& facts, http::HeaderMap& headers) {
  for (const std::string& name : ops.remove) headers.Remove(name);
  for (const HeaderOps::Pair& pair : ops.set) {
    if (const auto constant = pair.value.Constant(); constant && !constant->empty())
      headers.Set(pair.name, *constant);
    else if (const auto value = ValueFor(pair.value, facts))
      headers.Set(pair.name, *value);
  }
  for (const HeaderOps::Pair& pair : ops.add) {
    if (const auto constant = pair.value.Constant(); constant && !constant->empty())
      headers.Add(pair.name, *constant);
    else if (const auto value = ValueFor(pair.value, facts))
      headers.Add(pair.name, *value);
  }
}

}  // namespace mesh::route
