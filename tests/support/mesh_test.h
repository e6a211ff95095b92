// The frame of a suite that has a mesh of its own: up once, down at the end, SKIPPED without root.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <string>
#include <string_view>
#include <vector>

#include "tests/support/local_mesh.h"

namespace mesh::test {

class MeshTest : public testing::Test {
 protected:
  // For SetUpTestSuite: false when there is no mesh to prepare; SetUp then tells why in each test.
  static bool Up(std::string_view what) {
    if (::geteuid() != 0) return false;
    mesh_ = new LocalMesh(what, {.nodes = 2, .up_flags = {}});
    return mesh_->problem().empty();
  }
  // The same with `objects` applied and `pods` ready.
  static bool Up(std::string_view what, const std::string& objects,
                 const std::vector<std::string>& pods) {
    if (!Up(what)) return false;
    const Outcome applied = mesh_->Apply(objects);
    EXPECT_EQ(applied.code, 0) << applied.out << applied.err;
    const bool ready = applied.code == 0 && mesh_->WaitReady(pods);
    EXPECT_TRUE(ready) << mesh_->Meshctl({"status"}).out;
    return ready;
  }
  static void TearDownTestSuite() {
    delete mesh_;
    mesh_ = nullptr;
  }
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "SKIPPED: needs root";
    ASSERT_EQ(mesh_->problem(), "");
  }

  // What curl's exit code says when nobody let it in: refused, or reset before (55) or after the
  // request was written; at once, never a timeout (28).
  static bool Refused(int code) { return code == 7 || code == 52 || code == 55 || code == 56; }

  inline static LocalMesh* mesh_ = nullptr;
};

}  // namespace mesh::test
