#include "ztunnel/waypoint/route/text_match.h"

#include <re2/re2.h>

#include <algorithm>

#include "proto/l7_common.pb.h"
#include "ztunnel/base/status.h"
#include "ztunnel/waypoint/http/chars.h"

namespace mesh::route {
namespace {

constexpr size_t kMaxPattern = 1024;
constexpr int64_t kMaxRegexBytes = 1 << 20;
constexpr std::string_view kOne = "{*}", kMany = "{**}";

// Literals and operators in turn. An operator is a whole segment; {**} is the last of them.
absl::StatusOr<std::vector<std::string>> SplitTemplate(std::string_view text) {
  std::vector<std::string> parts;
  if (!text.starts_with('/')) return Invalid("template \"{}\" does not begin with /", text);
  bool many = false;
  while (!text.empty()) {
    const size_t open = text.find('{');
    const std::string_view literal = text.substr(0, open);
    if (literal.find('}') != literal.npos) return Invalid("a stray }} in \"{}\"", text);
    if (!literal.empty()) parts.emplace_back(literal);
    if (open == text.npos) break;
    text.remove_prefix(open);
    const std::string_view op = text.starts_with(kOne) ? kOne : kMany;
    if (!text.starts_with(op)) return Invalid("\"{}\" is neither {{*}} nor {{**}}", text);
    if (many) return Invalid("{{**}} is not the last operator");
    many = op == kMany;
    text.remove_prefix(op.size());
    const bool begins = !literal.empty() && literal.back() == '/';
    if (!begins || (!text.empty() && text.front() != '/'))
      return Invalid("{} is not a whole segment", op);
    parts.emplace_back(op);
  }
  return parts;
}

bool MatchesTemplate(const std::vector<std::string>& parts, std::string_view path) {
  for (size_t i = 0; i < parts.size(); ++i) {
    const std::string& part = parts[i];
    if (part == kMany) return i + 1 == parts.size() || path.ends_with(parts[i + 1]);
    if (part == kOne) {
      const size_t end = std::min(path.find('/'), path.size());
      if (end == 0) return false;
      path.remove_prefix(end);
    } else {
      if (!path.starts_with(part)) return false;
      path.remove_prefix(part.size());
    }
  }
  return path.empty();
}

// ASCII letters only, as HTTP compares.
bool StartsWithIgnoreCase(std::string_view text, std::string_view prefix) {
  return text.size() >= prefix.size() &&
         http::EqualsIgnoreCase(text.substr(0, prefix.size()), prefix);
}

bool EndsWithIgnoreCase(std::string_view text, std::string_view suffix) {
  return text.size() >= suffix.size() &&
         http::EqualsIgnoreCase(text.substr(text.size() - suffix.size()), suffix);
}

bool MatchesSegments(std::string_view path, std::string_view prefix, bool ignore_case) {
  const bool starts = ignore_case ? StartsWithIgnoreCase(path, prefix) : path.starts_with(prefix);
  return starts && (path.size() == prefix.size() || path[prefix.size()] == '/');
}

}  // namespace

absl::StatusOr<Regex> CompileRegex(std::string_view pattern) {
  if (pattern.size() > kMaxPattern)
    return Invalid("a regex of {} characters, more than {}", pattern.size(), kMaxPattern);
  re2::RE2::Options options(re2::RE2::Quiet);
  options.set_max_mem(kMaxRegexBytes);
  auto regex =
      std::make_shared<const re2::RE2>(re2::StringPiece(pattern.data(), pattern.size()), options);
  if (!regex->ok()) return Invalid("regex \"{}\": {}", pattern, regex->error());
  return regex;
}

bool FullMatch(const Regex& regex, std::string_view text) {
  return re2::RE2::FullMatch(re2::StringPiece(text.data(), text.size()), *regex);
}

absl::StatusOr<TextMatch> TextMatch::Compile(const l7::v1::StringMatch& match) {
  TextMatch out;
  out.ignore_case_ = match.ignore_case();
  switch (match.how_case()) {
    case l7::v1::StringMatch::kExact:
      out.kind_ = Kind::kExact;
      out.text_ = match.exact();
      return out;
    case l7::v1::StringMatch::kPrefix:
      out.kind_ = Kind::kPrefix;
      out.text_ = match.prefix();
      return out;
    case l7::v1::StringMatch::kSuffix:
      out.kind_ = Kind::kSuffix;
      out.text_ = match.suffix();
      return out;
    case l7::v1::StringMatch::kRegex: {
      if (out.ignore_case_) return Invalid("regex with ignore_case: write (?i)");
      out.kind_ = Kind::kRegex;
      ASSIGN_OR_RETURN(out.regex_, CompileRegex(match.regex()));
      return out;
    }
    case l7::v1::StringMatch::kPresent:
      out.kind_ = match.present() ? Kind::kPresent : Kind::kAbsent;
      return out;
    case l7::v1::StringMatch::HOW_NOT_SET:
      break;
  }
  return Invalid("no kind of match");
}

bool TextMatch::Matches(std::string_view value) const {
  switch (kind_) {
    case Kind::kExact:
      return ignore_case_ ? http::EqualsIgnoreCase(value, text_) : value == text_;
    case Kind::kPrefix:
      return ignore_case_ ? StartsWithIgnoreCase(value, text_) : value.starts_with(text_);
    case Kind::kSuffix:
      return ignore_case_ ? EndsWithIgnoreCase(value, text_) : value.ends_with(text_);
    case Kind::kRegex:
      return FullMatch(regex_, value);
    case Kind::kPresent:
      return true;
    case Kind::kAbsent:
      return false;
  }
  return false;
}

absl::StatusOr<PathMatch> PathMatch::Compile(const l7::v1::PathMatch& match) {
  using Proto = l7::v1::PathMatch;
  PathMatch out;
  out.ignore_case_ = match.ignore_case();
  const auto text = [&out](Kind kind, std::string value) {
    out.kind_ = kind;
    out.text_ = std::move(value);
    return out;
  };
  switch (match.how_case()) {
    case Proto::kExact:
      return text(Kind::kExact, match.exact());
    case Proto::kPrefix:
      return text(Kind::kPrefix, match.prefix());
    case Proto::kSegmentPrefix: {
      std::string prefix = match.segment_prefix();
      if (prefix.ends_with('/')) prefix.pop_back();
      return text(Kind::kSegmentPrefix, std::move(prefix));
    }
    case Proto::kSuffix:
      return text(Kind::kSuffix, match.suffix());
    case Proto::kRegex: {
      if (out.ignore_case_) return Invalid("regex with ignore_case: write (?i)");
      out.kind_ = Kind::kRegex;
      ASSIGN_OR_RETURN(out.regex_, CompileRegex(match.regex()));
      return out;
    }
    case Proto::kTemplate: {
      if (out.ignore_case_) return Invalid("template with ignore_case");
      out.kind_ = Kind::kTemplate;
      ASSIGN_OR_RETURN(out.segments_, SplitTemplate(match.template_()));
      return out;
    }
    case Proto::kPresent:
      if (!match.present()) return Invalid("a path is never absent");
      return PathMatch();
    case Proto::HOW_NOT_SET:
      break;
  }
  return Invalid("no kind of match");
}

bool PathMatch::Matches(std::string_view path) const {
  switch (kind_) {
    case Kind::kAny:
      return true;
    case Kind::kExact:
      return ignore_case_ ? http::EqualsIgnoreCase(path, text_) : path == text_;
    case Kind::kPrefix:
      return ignore_case_ ? StartsWithIgnoreCase(path, text_) : path.starts_with(text_);
    case Kind::kSegmentPrefix:
      return MatchesSegments(path, text_, ignore_case_);
    case Kind::kSuffix:
      return ignore_case_ ? EndsWithIgnoreCase(path, text_) : path.ends_with(text_);
    case Kind::kRegex:
      return FullMatch(regex_, path);
    case Kind::kTemplate:
      return MatchesTemplate(segments_, path);
  }
  return false;
}

std::optional<size_t> PathMatch::ReplacedPrefix() const {
  if (kind_ == Kind::kPrefix || kind_ == Kind::kSegmentPrefix) return text_.size();
  return std::nullopt;
}

}  // namespace mesh::route
