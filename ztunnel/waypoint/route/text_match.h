// Matchers of text and of paths, compiled from mesh.l7.v1.StringMatch and PathMatch.
//
// Immutable and thread-safe after Compile. Matching allocates nothing but for a regex that RE2
// cannot run as an automaton.
#pragma once

#include <absl/status/statusor.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace re2 {
class RE2;
}
namespace mesh::l7::v1 {
class StringMatch;
class PathMatch;
}  // namespace mesh::l7::v1

namespace mesh::route {

using Regex = std::shared_ptr<const re2::RE2>;

// RE2, at most 1,024 characters and 1 MB of program and automaton; a match takes linear time.
absl::StatusOr<Regex> CompileRegex(std::string_view pattern);
bool FullMatch(const Regex& regex, std::string_view text);

class TextMatch {
 public:
  enum class Kind : uint8_t { kExact, kPrefix, kSuffix, kRegex, kPresent, kAbsent };

  // Refused: no kind, a regex that does not compile.
  static absl::StatusOr<TextMatch> Compile(const l7::v1::StringMatch& match);

  // Of a value that is there. kPresent: true; kAbsent: false.
  bool Matches(std::string_view value) const;
  bool Matches(const std::optional<std::string_view>& value) const {
    return value ? Matches(*value) : kind_ == Kind::kAbsent;
  }

  Kind kind() const { return kind_; }
  const std::string& text() const { return text_; }  // but for kRegex
  bool ignore_case() const { return ignore_case_; }

 private:
  Kind kind_ = Kind::kPresent;
  bool ignore_case_ = false;
  std::string text_;
  Regex regex_;
};

// The path without query, normalised.
class PathMatch {
 public:
  enum class Kind : uint8_t { kAny, kExact, kPrefix, kSegmentPrefix, kSuffix, kRegex, kTemplate };

  PathMatch() = default;  // matches everything
  static absl::StatusOr<PathMatch> Compile(const l7::v1::PathMatch& match);

  bool Matches(std::string_view path) const;

  Kind kind() const { return kind_; }
  bool ignore_case() const { return ignore_case_; }
  // Of kSegmentPrefix: without '/' at its end.
  const std::string& text() const { return text_; }
  // How much of a path that matched a prefix rewrite replaces; nothing when the match is no prefix.
  std::optional<size_t> ReplacedPrefix() const;

 private:
  Kind kind_ = Kind::kAny;
  bool ignore_case_ = false;
  std::string text_;
  Regex regex_;
  std::vector<std::string> segments_;  // of a template; {*} and {**} as they are
};

}  // namespace mesh::route
