#include "agent/controller/l7/delegates.h"

#include <algorithm>
#include <optional>

namespace mesh::controller {
namespace {

using Matches = google::protobuf::Map<std::string, api::StringMatch>;
using Labels = google::protobuf::Map<std::string, std::string>;

bool StartsWith(std::string_view text, std::string_view prefix) {
  return text.substr(0, prefix.size()) == prefix;
}

// Whether what `delegate` takes is all within what `root` takes.
bool Within(const api::StringMatch& root, const api::StringMatch& delegate) {
  if (root.has_regex()) return false;  // nobody can tell
  if (root.has_exact()) return delegate.has_exact() && delegate.exact() == root.exact();
  if (root.has_prefix()) {
    if (delegate.has_prefix()) return StartsWith(delegate.prefix(), root.prefix());
    return delegate.has_exact() && StartsWith(delegate.exact(), root.prefix());
  }
  return true;  // presence
}

// False: they disagree. Else `out`, which is the delegate's, has the root's too.
bool MergeField(const api::StringMatch& root, bool has, api::StringMatch* out) {
  if (!has) {
    *out = root;
    return true;
  }
  return Within(root, *out);
}

bool MergeMaps(const Matches& root, Matches* out) {
  for (const auto& [name, match] : root) {
    const auto own = out->find(name);
    if (own == out->end()) {
      (*out)[name] = match;
    } else if (!Within(match, own->second)) {
      return false;
    }
  }
  return true;
}

bool MergeLabels(const Labels& root, Labels* out) {
  for (const auto& [name, value] : root) {
    const auto own = out->find(name);
    if (own == out->end()) {
      (*out)[name] = value;
    } else if (own->second != value) {
      return false;
    }
  }
  return true;
}

std::string JoinNames(const std::string& root, const std::string& delegate) {
  if (root.empty() || delegate.empty()) return root + delegate;
  return root + "-" + delegate;
}

std::optional<api::HttpMatch> MergeMatch(const api::HttpMatch& root, api::HttpMatch out) {
  const bool both_uri = root.has_uri() && out.has_uri();
  if (both_uri && root.ignore_uri_case() != out.ignore_uri_case()) return std::nullopt;
  if (root.has_uri() && !out.has_uri()) out.set_ignore_uri_case(root.ignore_uri_case());
  // `has` is read before the field is made.
  const auto merge = [](bool wanted, const api::StringMatch& theirs, bool has, auto make) {
    return !wanted || MergeField(theirs, has, make());
  };
  if (!merge(root.has_uri(), root.uri(), out.has_uri(), [&out] { return out.mutable_uri(); }) ||
      !merge(root.has_scheme(), root.scheme(), out.has_scheme(),
             [&out] { return out.mutable_scheme(); }) ||
      !merge(root.has_method(), root.method(), out.has_method(),
             [&out] { return out.mutable_method(); }) ||
      !merge(root.has_authority(), root.authority(), out.has_authority(),
             [&out] { return out.mutable_authority(); })) {
    return std::nullopt;
  }
  if (!MergeMaps(root.headers(), out.mutable_headers()) ||
      !MergeMaps(root.without_headers(), out.mutable_without_headers()) ||
      !MergeMaps(root.query_params(), out.mutable_query_params()) ||
      !MergeLabels(root.source_labels(), out.mutable_source_labels())) {
    return std::nullopt;
  }
  if (root.port() != 0 && out.port() != 0 && root.port() != out.port()) return std::nullopt;
  if (root.port() != 0) out.set_port(root.port());
  const std::string& ns = root.source_namespace();
  if (!ns.empty() && !out.source_namespace().empty() && out.source_namespace() != ns) {
    return std::nullopt;
  }
  if (!ns.empty()) out.set_source_namespace(ns);
  if (out.gateways().empty()) out.mutable_gateways()->CopyFrom(root.gateways());
  out.set_name(JoinNames(root.name(), out.name()));
  return out;
}

// False: no match of the one goes with any of the other.
bool MergeMatches(const api::HttpRule& root, api::HttpRule& out) {
  if (root.match().empty()) return true;
  const auto own = out.match();
  out.clear_match();
  if (own.empty()) {
    out.mutable_match()->CopyFrom(root.match());
    return true;
  }
  for (const api::HttpMatch& theirs : root.match()) {
    for (const api::HttpMatch& match : own) {
      if (auto merged = MergeMatch(theirs, match)) *out.add_match() = *std::move(merged);
    }
  }
  return !out.match().empty();
}

}  // namespace

std::vector<api::HttpRule> MergeDelegate(const api::HttpRule& root,
                                         const api::VirtualServiceSpec& delegate) {
  std::vector<api::HttpRule> rules;
  for (api::HttpRule out : delegate.http()) {
    if (out.has_delegate() || !MergeMatches(root, out)) continue;
    out.set_name(JoinNames(root.name(), out.name()));
    if (!out.has_rewrite() && root.has_rewrite()) *out.mutable_rewrite() = root.rewrite();
    if (out.timeout().empty()) out.set_timeout(root.timeout());
    if (!out.has_retries() && root.has_retries()) *out.mutable_retries() = root.retries();
    if (!out.has_fault() && root.has_fault()) *out.mutable_fault() = root.fault();
    if (!out.has_cors_policy() && root.has_cors_policy()) {
      *out.mutable_cors_policy() = root.cors_policy();
    }
    if (!out.has_headers() && root.has_headers()) *out.mutable_headers() = root.headers();
    if (!out.has_mirror() && out.mirrors().empty()) {
      if (root.has_mirror()) *out.mutable_mirror() = root.mirror();
      out.mutable_mirrors()->CopyFrom(root.mirrors());
    }
    if (!out.has_mirror_percentage() && root.has_mirror_percentage()) {
      *out.mutable_mirror_percentage() = root.mirror_percentage();
    }
    rules.push_back(std::move(out));
  }
  return rules;
}

}  // namespace mesh::controller
