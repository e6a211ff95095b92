// The frame of a suite that has a mesh of its own: up once, down at the end, SKIPPED without root.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <string_view>

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
  static void TearDownTestSuite() {
    delete mesh_;
    mesh_ = nullptr;
  }
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "SKIPPED: needs root";
    ASSERT_EQ(mesh_->problem(), "");
  }

  inline static LocalMesh* mesh_ = nullptr;
};

}  // namespace mesh::test
