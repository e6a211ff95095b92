#include "proto/l7_frontend.pb.h"
#include "ztunnel/base/status.h"
#include "ztunnel/waypoint/http/header_map.h"
#include "ztunnel/waypoint/route/compile.h"
#include "ztunnel/waypoint/route/compile_route.h"

namespace mesh::route {
namespace {

constexpr int kMaxMatches = 64;  // header and parameter matches of one alternative

absl::StatusOr<NamedMatch> CompileNamed(const l7::v1::NamedMatch& match) {
  if (match.name().empty()) return Invalid("name: empty");
  ASSIGN_OR_RETURN(TextMatch text, WithContext(TextMatch::Compile(match.match()), match.name()));
  return NamedMatch{match.name(), std::move(text), match.invert()};
}

absl::StatusOr<NamedMatch> CompileHeader(const l7::v1::NamedMatch& match) {
  ASSIGN_OR_RETURN(NamedMatch out, CompileNamed(match));
  out.name = Lower(out.name);
  if (out.name == "host") out.name = ":authority";
  const bool pseudo = out.name == ":authority" || out.name == ":path" || out.name == ":method" ||
                      out.name == ":scheme";
  if (!pseudo && !http::IsFieldName(out.name)) return Invalid("name: \"{}\"", match.name());
  return out;
}

absl::Status CompileNamedList(const google::protobuf::RepeatedPtrField<l7::v1::NamedMatch>& list,
                              std::string_view what, bool headers, std::vector<NamedMatch>& out) {
  if (list.size() > kMaxMatches) return Invalid("{}: {} matches", what, list.size());
  for (int i = 0; i < list.size(); ++i) {
    ASSIGN_OR_RETURN(NamedMatch match,
                     WithContext(headers ? CompileHeader(list[i]) : CompileNamed(list[i]),
                                 fmt::format("{}[{}]", what, i)));
    out.push_back(std::move(match));
  }
  return absl::OkStatus();
}

absl::Status CompileText(bool has, const l7::v1::StringMatch& match, std::string_view what,
                         std::optional<TextMatch>& out) {
  if (!has) return absl::OkStatus();
  ASSIGN_OR_RETURN(out, WithContext(TextMatch::Compile(match), what));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<HttpMatch> CompileMatch(const l7::v1::RouteMatch& match) {
  HttpMatch out;
  if (match.has_path()) {
    ASSIGN_OR_RETURN(out.path, WithContext(PathMatch::Compile(match.path()), "path"));
  }
  RETURN_IF_ERROR(CompileText(match.has_method(), match.method(), "method", out.method));
  RETURN_IF_ERROR(CompileText(match.has_scheme(), match.scheme(), "scheme", out.scheme));
  RETURN_IF_ERROR(
      CompileText(match.has_authority(), match.authority(), "authority", out.authority));
  RETURN_IF_ERROR(CompileNamedList(match.headers(), "headers", true, out.headers));
  RETURN_IF_ERROR(CompileNamedList(match.query(), "query", false, out.query));
  for (const auto& [name, value] : match.source_labels())
    out.source_labels.emplace_back(name, value);
  out.source_namespace = match.source_namespace();
  return out;
}

}  // namespace mesh::route
