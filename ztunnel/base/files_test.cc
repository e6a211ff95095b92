#include "ztunnel/base/files.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>

namespace mesh {
namespace {

class Files : public testing::Test {
 protected:
  void SetUp() override {
    char pattern[] = "/tmp/files-XXXXXX";
    dir_ = ::mkdtemp(pattern);
  }
  void TearDown() override { std::filesystem::remove_all(dir_); }
  std::string dir_;
};

TEST_F(Files, WritingReplacesAndLeavesNothingElse) {
  const std::string path = dir_ + "/a";
  ASSERT_TRUE(WriteFile(path, "one").ok());
  ASSERT_TRUE(WriteFile(path, std::string(100'000, 'x')).ok());
  EXPECT_EQ(ReadFile(path).value(), std::string(100'000, 'x'));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(dir_), {}), 1);
}

TEST_F(Files, ModeHoldsWhateverTheUmask) {
  const mode_t before = ::umask(0);
  EXPECT_TRUE(WriteFile(dir_ + "/key", "k", 0600).ok());
  ::umask(0777);
  EXPECT_TRUE(WriteFile(dir_ + "/open", "o", 0644).ok());
  ::umask(before);
  struct stat info{};
  ASSERT_EQ(::stat((dir_ + "/key").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  ASSERT_EQ(::stat((dir_ + "/open").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0644u);
}

TEST_F(Files, ErrorsNameThePath) {
  const absl::Status missing = ReadFile(dir_ + "/none").status();
  EXPECT_EQ(missing.code(), absl::StatusCode::kNotFound);
  EXPECT_NE(std::string(missing.message()).find(dir_ + "/none"), std::string::npos);
  EXPECT_FALSE(WriteFile(dir_ + "/none/a", "x").ok());
  EXPECT_EQ(ReadFileOr(dir_ + "/none", "else"), "else");
}

TEST_F(Files, AFileOverTheLimitIsRefused) {
  ASSERT_TRUE(WriteFile(dir_ + "/a", "12345").ok());
  EXPECT_EQ(ReadFile(dir_ + "/a", 5).value(), "12345");
  EXPECT_EQ(ReadFile(dir_ + "/a", 4).status().code(), absl::StatusCode::kResourceExhausted);
}

TEST_F(Files, WhatCannotBeRenamedLeavesNoTemporaryFile) {
  std::filesystem::create_directories(dir_ + "/folder/inside");
  EXPECT_FALSE(WriteFile(dir_ + "/folder", "x").ok());
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(dir_), {}), 1);
}

}  // namespace
}  // namespace mesh
