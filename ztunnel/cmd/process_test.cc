#include "ztunnel/cmd/process.h"

#include <gtest/gtest.h>

#include <memory>
#include <thread>
#include <vector>

#include "ztunnel/base/files.h"

namespace mesh::cmd {
namespace {

// Pages of memory that this process holds.
int64_t ResidentMiB() {
  const std::string text = *ReadFile("/proc/self/statm");
  return std::stoll(text.substr(text.find(' '))) * 4096 >> 20;
}

TEST(FreeMemory, IsGivenBackOnceWhenItIsMuch) {
  FreeMemory memory(size_t{16} << 20);
  memory.MaybeGiveBack();
  const int64_t before = ResidentMiB();
  // On two threads: each has an arena of its own. Something stays at the end of it.
  std::vector<std::unique_ptr<std::string>> last(2);
  const auto fill = [&](size_t thread) {
    std::vector<std::unique_ptr<std::string>> blocks;
    for (int i = 0; i < 100'000; ++i) blocks.push_back(std::make_unique<std::string>(500, 'x'));
    last[thread] = std::move(blocks.back());
    if (thread == 0) {
      EXPECT_GE(ResidentMiB(), before + 40);
      EXPECT_FALSE(memory.MaybeGiveBack()) << "it is in use";
    }
  };
  fill(0);
  std::thread([&] { fill(1); }).join();
  EXPECT_GE(ResidentMiB(), before + 60) << "the C library gave it back by itself";
  EXPECT_TRUE(memory.MaybeGiveBack());
  EXPECT_LE(ResidentMiB(), before + 30);
  EXPECT_FALSE(memory.MaybeGiveBack()) << "nothing was freed since";
}

}  // namespace
}  // namespace mesh::cmd
