#include "ztunnel/base/status.h"

#include <absl/strings/cord.h>
#include <gtest/gtest.h>

#include <cerrno>

namespace mesh {
namespace {

TEST(Status, ContextKeepsCodeAndPayload) {
  absl::Status status = Unavailable("pod {} away", "a");
  status.SetPayload("x", absl::Cord("y"));
  const absl::Status outer = WithContext(status, "enrol");
  EXPECT_EQ(MessageOf(outer), "enrol: pod a away");
  EXPECT_EQ(outer.code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(outer.GetPayload("x").has_value());
}

TEST(Status, ErrnoNamesTheError) {
  const absl::Status status = Errno(ENOENT, "open {}", "f");
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(MessageOf(status), "open f: No such file or directory (errno 2)");
}

}  // namespace
}  // namespace mesh
