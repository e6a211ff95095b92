// How a mesh begins and ends: beside another, after everything was killed, interrupted, twice.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <filesystem>
#include <set>
#include <sstream>

#include "tests/support/mesh_test.h"
#include "ztunnel/base/files.h"

namespace mesh::test {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr const char* kPod = R"(
apiVersion: v1
kind: Pod
metadata: {name: p, namespace: default}
spec:
  containers:
  - {name: app, image: culvert/meshapp, command: [meshapp, serve, --port, "8080"]}
)";

// The folder of the mesh's control groups; cgroup2 is mounted here or beside the old hierarchies.
std::string CgroupOf(const std::string& name) {
  for (const char* mount : {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"}) {
    const std::string path = std::string(mount) + "/mesh-" + name;
    if (fs::exists(path)) return path;
  }
  return "";
}

std::set<int> PidsOf(const std::string& cgroup) {
  std::set<int> pids;
  std::error_code error;
  for (const auto& entry : fs::recursive_directory_iterator(cgroup, error)) {
    if (entry.path().filename() != "cgroup.procs") continue;
    std::istringstream lines(ReadFileOr(entry.path().string()));
    for (int pid; lines >> pid;) pids.insert(pid);
  }
  return pids;
}

// All that carries the mesh's name outside of its processes: namespaces, control groups, pins,
// files, links.
std::vector<std::string> Traces(const std::string& name) {
  std::vector<std::string> traces;
  for (const char* dir : {"/run/netns", "/run/mesh", "/sys/fs/bpf", "/sys/fs/bpf/mesh",
                          "/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/class/net"}) {
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(dir, error)) {
      if (entry.path().filename().string().find(name) != std::string::npos)
        traces.push_back(entry.path());
    }
  }
  return traces;
}

class MeshctlLife : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "SKIPPED: needs root";
  }
};

TEST_F(MeshctlLife, DownLeavesNothingAndTwiceIsNoError) {
  LocalMesh mesh("life-down", {.nodes = 2, .up_flags = {}});
  ASSERT_EQ(mesh.problem(), "");
  ASSERT_EQ(mesh.Apply(kPod).code, 0);
  ASSERT_TRUE(mesh.WaitReady({"default/p"}));
  ASSERT_THAT(Traces(mesh.name()), testing::SizeIs(testing::Ge(6)));
  const std::set<int> pids = PidsOf(CgroupOf(mesh.name()));
  ASSERT_GE(pids.size(), 7u);  // runtime, controller, two agents, two ztunnels, a pod

  const Outcome again = mesh.Meshctl({"local", "up"});
  EXPECT_EQ(again.code, 0);
  EXPECT_THAT(again.out, HasSubstr("is running already (2 nodes)"));
  EXPECT_EQ(mesh.Meshctl({"local", "up", "--nodes", "3"}).code, 1);

  const Outcome down = mesh.Meshctl({"local", "down"});
  EXPECT_EQ(down.code, 0) << down.err;
  EXPECT_THAT(down.out, HasSubstr("is down"));
  EXPECT_THAT(Traces(mesh.name()), IsEmpty());
  for (const int pid : pids)
    EXPECT_THAT(ReadFileOr("/proc/" + std::to_string(pid) + "/environ"),
                testing::Not(HasSubstr(mesh.name())));
  const Outcome twice = mesh.Meshctl({"local", "down"});
  EXPECT_EQ(twice.code, 0);
  EXPECT_THAT(twice.out, HasSubstr("nothing to take down"));
}

TEST_F(MeshctlLife, TwoMeshesStandSideBySide) {
  LocalMesh one("life-one", {.nodes = 1, .up_flags = {}}),
      two("life-two", {.nodes = 1, .up_flags = {}});
  ASSERT_EQ(one.problem() + two.problem(), "");
  ASSERT_EQ(one.Apply(kPod).code, 0);
  ASSERT_TRUE(one.WaitReady({"default/p"}));
  EXPECT_THAT(two.Meshctl({"local", "ps"}).out, HasSubstr("no pods"));
  EXPECT_EQ(two.Meshctl({"local", "down"}).code, 0);
  EXPECT_THAT(Traces(two.name()), IsEmpty());
  EXPECT_EQ(one.Meshctl({"status"}).code, 0);
  EXPECT_EQ(one.Exec("default/p", {"curl", "-sSf", "-m", "5", "http://127.0.0.1:8080/"}).code, 0);
}

TEST_F(MeshctlLife, UpBuildsAgainWhatWasKilled) {
  LocalMesh mesh("life-kill", {.nodes = 1, .up_flags = {}});
  ASSERT_EQ(mesh.problem(), "");
  ASSERT_EQ(mesh.Apply(kPod).code, 0);
  ASSERT_TRUE(mesh.WaitReady({"default/p"}));
  const std::string cgroup = CgroupOf(mesh.name());
  for (const int pid : PidsOf(cgroup)) ::kill(pid, SIGKILL);
  ASSERT_TRUE(Eventually([&] { return PidsOf(cgroup).empty(); }));
  const Outcome status = mesh.Meshctl({"status"});
  EXPECT_EQ(status.code, 3);
  EXPECT_THAT(status.out, HasSubstr("`meshctl local up` starts it again"));

  const Outcome up = mesh.Meshctl({"local", "up"}, "", std::chrono::seconds(90));
  EXPECT_EQ(up.code, 0) << up.err;
  EXPECT_TRUE(mesh.WaitReady({"default/p"}));
  EXPECT_EQ(mesh.Meshctl({"status"}).code, 0);
  EXPECT_EQ(mesh.Meshctl({"local", "down"}).code, 0);
  EXPECT_THAT(Traces(mesh.name()), IsEmpty());
}

TEST_F(MeshctlLife, AnInterruptedUpIsUndone) {
  // A mesh that can never be ready, so that the interruption finds `up` waiting: the program that
  // is its ztunnel ends at once.
  const std::string bin = testing::TempDir() + "/mesh-life-bin-" + std::to_string(::getpid());
  LocalMesh absent("life-int", {.nodes = 1, .up_flags = {"--no-mesh"}});
  ASSERT_EQ(absent.problem(), "");
  ASSERT_EQ(absent.Meshctl({"local", "down"}).code, 0);
  fs::create_directories(bin);
  fs::create_symlink("/bin/false", bin + "/ztunnel");
  fs::create_symlink("/bin/false", bin + "/mesh-agent");
  std::vector<std::string> words = absent.ExecWords("x/y", {});
  words = {words[0], "--name", absent.name(), "local", "up", "--nodes", "1", "--bin-dir", bin};
  for (const int signal : {SIGINT, SIGTERM}) {
    Background up(words);
    ASSERT_TRUE(Eventually([&] { return fs::exists(absent.root() + "/state.json"); }));
    ::kill(up.pid(), signal);
    EXPECT_TRUE(Eventually([&] { return Traces(absent.name()).empty(); }))
        << testing::PrintToString(Traces(absent.name()));
    const Outcome ended = up.Stop();
    EXPECT_EQ(ended.code, 130) << ended.out;
    EXPECT_THAT(ended.out, HasSubstr("what was begun is removed again"));
  }
  fs::remove_all(bin);
}

}  // namespace
}  // namespace mesh::test
