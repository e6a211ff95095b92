#include "agent/k8s/local_source.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "agent/k8s/labels.h"

namespace mesh::k8s {
namespace {

namespace fs = std::filesystem;

class LocalSourceTest : public testing::Test {
 protected:
  void SetUp() override {
    root_ = fs::temp_directory_path() / ("local_source_" + std::to_string(::getpid()));
    fs::create_directories(root_ / "manifests");
    fs::create_directories(root_ / "run/patch");
    Restart();
  }
  void Restart(const std::string& record = "") {
    auto source = LocalSource::Create({root_ / "manifests", root_ / "run", root_ / "run/patch"});
    ASSERT_TRUE(source.ok());
    source_ = *std::move(source);
    if (!record.empty()) ASSERT_TRUE(source_->KeepRecord(record).ok());
  }
  // As it would be after a restart.
  std::vector<std::string> Emitted() {
    Restart(root_ / "record");
    std::vector<std::string> keys;
    for (const Event& event : Poll()) keys.push_back(event.object.key().ToString());
    std::ranges::sort(keys);
    return keys;
  }
  void TearDown() override { fs::remove_all(root_); }

  void Write(const std::string& path, const std::string& text) {
    std::ofstream(root_ / (path + ".tmp")) << text;
    fs::rename(root_ / (path + ".tmp"), root_ / path);
  }
  std::vector<Event> Poll() {
    std::vector<Event> all;
    source_->Poll([&](const std::vector<Event>& events) {
      ++batches_;
      all.insert(all.end(), events.begin(), events.end());
    });
    return all;
  }

  fs::path root_;
  std::unique_ptr<LocalSource> source_;
  int batches_ = 0;
};

constexpr char kPod[] =
    "apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: shop}\n"
    "spec: {containers: [{name: app, image: x}]}\n";

TEST_F(LocalSourceTest, EmitsOnceWhenEmptyAndThenChanges) {
  EXPECT_TRUE(Poll().empty());
  EXPECT_EQ(batches_, 1);
  Poll();
  EXPECT_EQ(batches_, 1);
  Write("manifests/pod.yaml", kPod);
  WaitFor(*source_, 2000);
  auto events = Poll();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].object.key().ToString(), "Pod shop/a");
  ASSERT_NE(events[0].object.As<api::Pod>(), nullptr);
  EXPECT_EQ(events[0].object.As<api::Pod>()->spec().containers(0).image(), "x");
  fs::remove(root_ / "manifests/pod.yaml");
  events = Poll();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_TRUE(events[0].deleted);
}

TEST_F(LocalSourceTest, AReservedAnnotationCountsInItsDirectoryAlone) {
  auto source = LocalSource::Create({root_ / "manifests", root_ / "run", root_ / "run/patch"},
                                    absl::Seconds(5), {"local.mesh/netns", root_ / "run"});
  ASSERT_TRUE(source.ok());
  source_ = *std::move(source);
  const auto netns = [this] {
    const std::vector<Event> events = Poll();
    if (events.size() != 1) return std::to_string(events.size()) + " events";
    return ValueOf(events[0].object.As<api::Pod>()->metadata().annotations(), "local.mesh/netns");
  };
  const auto pod = [](const std::string& path, const std::string& label) {
    return "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n  namespace: shop\n"
           "  labels: {v: \"" +
           label + "\"}\n  annotations: {local.mesh/netns: " + path +
           "}\nspec: {containers: [{name: app, image: x}]}\n";
  };
  Write("manifests/pod.yaml", pod("/proc/1/ns/net", "1"));
  EXPECT_EQ(netns(), "");
  ASSERT_EQ(source_->problems().size(), 1u);
  EXPECT_EQ(source_->problems()[0].field, "metadata.annotations.local.mesh/netns");
  Write("run/pod.yaml", pod("/run/netns/a", "2"));
  EXPECT_EQ(netns(), "/run/netns/a");
  // Patches come last, and may not say it either.
  Write("manifests/a.patch.json",
        R"({"apiVersion":"v1","kind":"Pod","metadata":{"name":"a","namespace":"shop",)"
        R"("labels":{"v":"3"},"annotations":{"local.mesh/netns":"/proc/1/ns/net"}}})");
  EXPECT_EQ(netns(), "/run/netns/a");
}

TEST_F(LocalSourceTest, MergesPatchesOverTheBaseAlone) {
  const std::string patch =
      R"({"apiVersion":"v1","kind":"Pod","metadata":{"name":"a","namespace":"shop",)"
      R"("annotations":{"ambient.istio.io/redirection":"enabled"}}})";
  Write("run/patch/n_pod_shop_a.patch.json", patch);
  EXPECT_TRUE(Poll().empty());
  Write("manifests/pod.yaml", kPod);
  auto events = Poll();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].object.metadata().annotations().at("ambient.istio.io/redirection"),
            "enabled");
  Write("run/patch/n_pod_shop_a.patch.json",
        R"({"apiVersion":"v1","kind":"Pod","metadata":{"name":"a","namespace":"shop"},)"
        R"("spec":{"hostNetwork":null,"nodeName":"n1"}})");
  events = Poll();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].object.metadata().annotations_size(), 0);
  EXPECT_EQ(events[0].object.As<api::Pod>()->spec().node_name(), "n1");
  fs::remove(root_ / "manifests/pod.yaml");
  events = Poll();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_TRUE(events[0].deleted);
}

TEST_F(LocalSourceTest, BadFileKeepsTheLastGoodVersionAndSaysWhere) {
  Write("manifests/a.yaml",
        std::string(kPod) + "---\napiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n");
  EXPECT_EQ(Poll().size(), 2u);
  Write("manifests/a.yaml", std::string(kPod) + "---\napiVersion: v1\nkind: [Namespace\n");
  for (const Event& event : Poll()) EXPECT_FALSE(event.deleted);
  ASSERT_EQ(source_->problems().size(), 1u);
  EXPECT_EQ(source_->problems()[0].file, root_ / "manifests/a.yaml");
  EXPECT_GE(source_->problems()[0].line, 6);
  for (const Event& event : Poll()) EXPECT_FALSE(event.deleted);
  Write("manifests/a.yaml",
        "apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: shop}\n"
        "spec:\n  containers:\n  - name: 3\n");
  auto events = Poll();
  ASSERT_EQ(events.size(), 1u);  // the namespace is gone, the pod stays
  EXPECT_TRUE(events[0].deleted);
  ASSERT_EQ(source_->problems().size(), 1u);
  EXPECT_EQ(source_->problems()[0].line, 6);
  EXPECT_EQ(source_->problems()[0].field, "spec.containers[0].name");
  EXPECT_EQ(source_->problems()[0].object, "Pod shop/a");
}

// A loop of links: fails with ELOOP for root too.
void MakeUnlistable(const fs::path& directory) {
  fs::rename(directory, directory.string() + ".away");
  fs::create_directory_symlink(directory.filename(), directory);
}

void MakeListable(const fs::path& directory) {
  fs::remove(directory);
  fs::rename(directory.string() + ".away", directory);
}

TEST_F(LocalSourceTest, ADirectoryThatCannotBeListedKeepsWhatItHeld) {
  fs::create_directories(root_ / "manifests/sub");
  Write("manifests/sub/pod.yaml", kPod);
  Write("manifests/shop.yaml", "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n");
  Write("run/patch/n_pod_shop_a.patch.json",
        R"({"kind":"Pod","apiVersion":"v1","metadata":{"name":"a","namespace":"shop",)"
        R"("annotations":{"k":"v"}}})");
  EXPECT_EQ(Poll().size(), 2u);
  for (const char* directory : {"manifests", "manifests/sub", "run", "run/patch"}) {
    MakeUnlistable(root_ / directory);
    EXPECT_TRUE(Poll().empty()) << directory;
    ASSERT_FALSE(source_->problems().empty()) << directory;
    EXPECT_NE(source_->problems()[0].reason.find("cannot be listed"), std::string::npos);
    MakeListable(root_ / directory);
    EXPECT_TRUE(Poll().empty()) << directory;
    EXPECT_TRUE(source_->problems().empty()) << directory;
  }
  // One that has gone is another matter.
  fs::remove_all(root_ / "manifests/sub");
  const auto events = Poll();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_TRUE(events[0].deleted);
}

TEST_F(LocalSourceTest, NothingIsEmittedBeforeEverythingCouldBeListed) {
  Write("manifests/pod.yaml", kPod);
  Write("run/shop.yaml", "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n");
  MakeUnlistable(root_ / "manifests");
  EXPECT_TRUE(Poll().empty());
  EXPECT_EQ(batches_, 0);
  MakeListable(root_ / "manifests");
  EXPECT_EQ(Poll().size(), 2u);
  EXPECT_EQ(batches_, 1);
}

TEST_F(LocalSourceTest, AFileThatCouldNotBeReadIsReadWhenItCan) {
  Write("manifests/pod.yaml", kPod);
  const std::string path = root_ / "manifests/pod.yaml";
  // No descriptor left for files: the directory is listed first and closed last.
  rlimit limit{}, low{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &limit), 0);
  const int next = ::open("/", O_RDONLY);
  ASSERT_GE(next, 0);
  ::close(next);
  low = {.rlim_cur = static_cast<rlim_t>(next) + 1, .rlim_max = limit.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &low), 0);
  const auto before = Poll();
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &limit), 0);
  EXPECT_TRUE(before.empty());
  ASSERT_EQ(source_->problems().size(), 1u);
  EXPECT_EQ(source_->problems()[0].file, path);
  EXPECT_EQ(Poll().size(), 1u);
}

constexpr char kDeny[] =
    "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n"
    "metadata: {name: deny, namespace: shop}\nspec: {action: DENY, rules: [{}]}\n";

TEST_F(LocalSourceTest, ABrokenFileStaysWhatItWasAcrossRestarts) {
  const std::string shop = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n";
  const std::vector<std::string> all = {"AuthorizationPolicy shop/deny", "Namespace shop",
                                        "Pod shop/a"};
  Write("manifests/deny.yaml", std::string(kDeny) + "---\n" + shop);
  Write("manifests/pod.yaml", kPod);
  EXPECT_EQ(Emitted(), all);
  // It does not parse at all; one document of it does not; its object is not valid; too long.
  for (const std::string& broken :
       {std::string("kind: ["), shop + "---\nkind: [AuthorizationPolicy\n",
        shop + "---\n" + std::string(kDeny).replace(std::string(kDeny).find("DENY"), 4, "NONE"),
        std::string(size_t{5} << 20, '#')}) {
    Write("manifests/deny.yaml", broken);
    EXPECT_EQ(Emitted(), all);
    EXPECT_EQ(Emitted(), all);
    EXPECT_FALSE(source_->problems().empty());
  }
  // Broken while it runs, and mended.
  Write("manifests/deny.yaml", shop);
  EXPECT_EQ(Emitted(), std::vector<std::string>({"Namespace shop", "Pod shop/a"}));
  Write("manifests/deny.yaml", "kind: [");
  EXPECT_TRUE(Poll().empty());
  EXPECT_EQ(Emitted(), std::vector<std::string>({"Namespace shop", "Pod shop/a"}));
  fs::remove(root_ / "manifests/deny.yaml");
  EXPECT_EQ(Emitted(), std::vector<std::string>({"Pod shop/a"}));
}

TEST_F(LocalSourceTest, ABrokenPatchStaysWhatItWasAcrossRestarts) {
  const std::string patch = "run/patch/n_pod_shop_a.patch.json";
  Write("manifests/pod.yaml", kPod);
  Write(patch, R"({"kind":"Pod","apiVersion":"v1","metadata":{"name":"a","namespace":"shop",)"
               R"("annotations":{"k":"v"}}})");
  EXPECT_EQ(Emitted().size(), 1u);
  Write(patch, R"({"kind":"Pod","apiVersion":"v1","metadata":{"name":"a","namespace":"shop"},)"
               R"("spec":{"containers":3}})");
  Restart(root_ / "record");
  const auto events = Poll();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].object.metadata().annotations().at("k"), "v");
}

TEST_F(LocalSourceTest, WhatWasInForceIsUnknownWhenNeitherFileNorRecordCanBeRead) {
  Write("manifests/deny.yaml", kDeny);
  EXPECT_EQ(Emitted().size(), 1u);
  for (const auto& entry : fs::directory_iterator(root_ / "record")) {
    std::ofstream(entry.path()) << "{";
  }
  Write("manifests/deny.yaml", "kind: [");
  batches_ = 0;
  EXPECT_TRUE(Emitted().empty());
  EXPECT_EQ(batches_, 0);
  Write("manifests/deny.yaml", kDeny);
  EXPECT_EQ(Poll().size(), 1u);
}

TEST_F(LocalSourceTest, TheSameWrittenAgainIsNoChange) {
  Write("manifests/pod.yaml", kPod);
  EXPECT_EQ(Poll().size(), 1u);
  Write("manifests/pod.yaml", std::string("# a comment\n") + kPod);
  EXPECT_TRUE(Poll().empty());
}

TEST_F(LocalSourceTest, HiddenAndForeignFilesAreIgnored) {
  Write("manifests/.hidden.yaml", kPod);
  Write("manifests/readme.md", kPod);
  EXPECT_TRUE(Poll().empty());
  EXPECT_TRUE(source_->problems().empty());
}

TEST_F(LocalSourceTest, TheSameObjectTwiceIsReportedAndTheLastCounts) {
  Write("manifests/a.yaml", kPod);
  std::string other = kPod;
  other.replace(other.find("image: x"), 8, "image: y");
  Write("manifests/b.yaml", other);
  auto events = Poll();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].object.As<api::Pod>()->spec().containers(0).image(), "y");
  ASSERT_EQ(source_->problems().size(), 1u);
  EXPECT_EQ(source_->problems()[0].level, Level::kWarning);
}

}  // namespace
}  // namespace mesh::k8s
