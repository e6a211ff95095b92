#include "agent/controller/l7/messages.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "agent/k8s/duration.h"

namespace mesh::controller {
namespace {

namespace l7 = mesh::l7::v1;

// Sorted by name: a map has no order, and a resource must be the same each time it is made.
void AddPairs(const google::protobuf::Map<std::string, std::string>& values,
              google::protobuf::RepeatedPtrField<l7::HeaderOps::Pair>* out) {
  for (const auto& [name, value] :
       std::map<std::string, std::string>(values.begin(), values.end())) {
    l7::HeaderOps::Pair& pair = *out->Add();
    pair.set_name(name);
    pair.set_value(value);
  }
}

}  // namespace

bool ReadDuration(const std::string& text, google::protobuf::Duration& out) {
  if (text.empty()) return false;
  const auto duration = k8s::ParseDuration(text);
  if (!duration) return false;
  SetDuration(*duration, out);
  return true;
}

void SetDuration(absl::Duration duration, google::protobuf::Duration& out) {
  absl::Duration rest;
  out.set_seconds(absl::IDivDuration(duration, absl::Seconds(1), &rest));
  out.set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(rest)));
}

l7::StringMatch TranslateMatch(const api::StringMatch& match, bool ignore_case) {
  l7::StringMatch out;
  if (match.has_exact()) {
    out.set_exact(match.exact());
  } else if (match.has_prefix()) {
    out.set_prefix(match.prefix());
  } else if (match.has_regex() && match.regex() != "*") {
    out.set_regex(match.regex());
  } else {
    out.set_present(true);
  }
  out.set_ignore_case(ignore_case);
  return out;
}

l7::HeaderOps TranslateHeaders(const api::HeaderOperations& headers) {
  l7::HeaderOps out;
  out.mutable_remove()->CopyFrom(headers.remove());
  AddPairs(headers.set(), out.mutable_set());
  AddPairs(headers.add(), out.mutable_add());
  return out;
}

l7::Share ShareOf(double percent) {
  l7::Share share;
  share.set_per_million(
      static_cast<uint32_t>(std::lround(std::clamp(percent, 0.0, 100.0) * 10'000)));
  return share;
}

}  // namespace mesh::controller
