// Small pieces of the waypoint's messages that several kinds make.
#pragma once

#include <absl/time/time.h>
#include <google/protobuf/duration.pb.h>

#include <string>

#include "proto/api/istio_traffic.pb.h"
#include "proto/l7_common.pb.h"

namespace mesh::controller {

// The duration of a text; false when it is empty or none.
bool ReadDuration(const std::string& text, google::protobuf::Duration& out);

void SetDuration(absl::Duration duration, google::protobuf::Duration& out);

// Without any of the three: present.
mesh::l7::v1::StringMatch TranslateMatch(const api::StringMatch& match, bool ignore_case = false);
mesh::l7::v1::HeaderOps TranslateHeaders(const api::HeaderOperations& headers);
// Of a percentage in 0..100.
mesh::l7::v1::Share ShareOf(double percent);

}  // namespace mesh::controller
