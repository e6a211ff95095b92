// What rules compare attributes with. Immutable once compiled; matching allocates nothing.
#pragma once

#include <absl/status/statusor.h>
#include <google/protobuf/repeated_field.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ztunnel/base/ip.h"
#include "ztunnel/base/string_map.h"
#include "ztunnel/core/authz/matchers.h"
#include "ztunnel/waypoint/filter/token.h"
#include "ztunnel/waypoint/route/text_match.h"

namespace mesh::l7::v1 {
class Cidr;
class PathMatch;
class StringMatch;
}  // namespace mesh::l7::v1

namespace mesh::filter {

// Any of several texts.
class TextSet {
 public:
  static absl::StatusOr<TextSet> Compile(
      const google::protobuf::RepeatedPtrField<l7::v1::StringMatch>& list);

  bool empty() const { return exact_.empty() && others_.empty(); }
  bool Matches(const std::optional<std::string_view>& value) const;

 private:
  StringSet exact_;
  std::vector<route::TextMatch> others_;
};

class PathSet {
 public:
  static absl::StatusOr<PathSet> Compile(
      const google::protobuf::RepeatedPtrField<l7::v1::PathMatch>& list);

  bool empty() const { return exact_.empty() && others_.empty(); }
  bool Matches(std::string_view path) const;

 private:
  StringSet exact_;
  std::vector<route::PathMatch> others_;
};

// <namespace>/<service account>, exact.
class AccountSet {
 public:
  absl::Status Add(const std::string& account);

  bool empty() const { return accounts_.empty(); }
  bool Matches(std::string_view ns, std::string_view service_account) const;

 private:
  std::vector<std::string> accounts_;
};

// Request principals. The last '/' parts issuer and subject, in a rule as in a token; a rule
// without
// '/' is about the subject when it is a suffix and about the issuer when it is a prefix.
class RequestPrincipalSet {
 public:
  static absl::StatusOr<RequestPrincipalSet> Compile(
      const google::protobuf::RepeatedPtrField<l7::v1::StringMatch>& list);

  bool empty() const { return matches_.empty(); }
  bool Matches(const Token* token) const;

 private:
  struct Match {
    std::optional<route::TextMatch> issuer, subject, whole;  // all that are there
  };
  static absl::StatusOr<Match> CompileOne(const l7::v1::StringMatch& match);
  std::vector<Match> matches_;
};

class PortSet {
 public:
  static absl::StatusOr<PortSet> Compile(const google::protobuf::RepeatedField<uint32_t>& list);

  bool empty() const { return ports_.empty(); }
  bool Matches(uint16_t port) const { return ports_.Matches(port); }

 private:
  authz::ValueMatcher<uint16_t> ports_;
};

absl::StatusOr<authz::CidrMatcher> CompileCidrs(
    const google::protobuf::RepeatedPtrField<l7::v1::Cidr>& list);

// Whether the claim (a text, or one text of a list) on that way through the token is in the set.
bool MatchesClaim(const TextSet& set, const Token* token, const std::vector<std::string>& way);

}  // namespace mesh::filter
