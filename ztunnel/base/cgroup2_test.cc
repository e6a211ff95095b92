#include "ztunnel/base/cgroup2.h"

#include <gtest/gtest.h>

namespace mesh {
namespace {

TEST(Cgroup2, IsFoundWhereverItIs) {
  struct Case {
    const char* mountinfo;
    const char* path;
    const char* root;
  } cases[] = {
      {"30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n",
       "/sys/fs/cgroup", "/"},
      {"30 24 0:25 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n"
       "31 30 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
       "40 30 0:35 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
       "/sys/fs/cgroup/unified", "/"},
      {"30 24 0:26 /kubepods/pod1 /run/cg\\040two rw - cgroup2 none rw\n", "/run/cg two",
       "/kubepods/pod1"},
  };
  for (const Case& c : cases) {
    const auto mount = ParseCgroup2(c.mountinfo);
    ASSERT_TRUE(mount.ok()) << mount.status();
    EXPECT_EQ(mount->path, c.path);
    EXPECT_EQ(mount->root, c.root);
  }
}

TEST(Cgroup2, SaysWhatToDoWithoutOne) {
  for (const char* text :
       {"", "nonsense\n", "30 24 0:25 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n", "1 2 3 4 5 -\n"}) {
    EXPECT_NE(ParseCgroup2(text).status().ToString().find("mount -t cgroup2"), std::string::npos)
        << text;
  }
}

}  // namespace
}  // namespace mesh
