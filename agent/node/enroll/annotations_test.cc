#include "agent/node/enroll/annotations.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "agent/k8s/json.h"

namespace mesh::node {
namespace {

class Annotations : public testing::Test {
 protected:
  void SetUp() override {
    char dir[] = "/tmp/mesh-annotations-XXXXXX";
    ASSERT_NE(::mkdtemp(dir), nullptr);
    dir_ = dir;
  }
  void TearDown() override { std::filesystem::remove_all(dir_); }
  bool Has(const std::string& file) const { return std::filesystem::exists(dir_ + "/" + file); }

  std::string dir_;
};

TEST_F(Annotations, APatchNamesThePodAndItsState) {
  PatchAnnotator annotator(dir_, "node-1");
  ASSERT_TRUE(annotator.Set("shop", "client-0", "enabled").ok());
  std::ifstream file(dir_ + "/node-1_pod_shop_client-0.patch.json");
  const auto json = k8s::FromText(std::string(std::istreambuf_iterator<char>(file), {}));
  ASSERT_TRUE(json.ok()) << json.status();
  EXPECT_EQ(k8s::StringMember(*json, "kind"), "Pod");
  EXPECT_EQ(k8s::MetadataMember(*json, "namespace"), "shop");
  const k8s::Json* annotations = k8s::Member(*k8s::Member(*json, "metadata"), "annotations");
  EXPECT_EQ(k8s::StringMember(*annotations, "ambient.istio.io/redirection"), "enabled");
  ASSERT_TRUE(annotator.Clear("shop", "client-0").ok());
  ASSERT_TRUE(annotator.Clear("shop", "client-0").ok());
  EXPECT_TRUE(std::filesystem::is_empty(dir_));
}

TEST_F(Annotations, ClearOthersTouchesOnlyThisNodesPods) {
  PatchAnnotator mine(dir_, "node-1"), other(dir_, "node-11");
  ASSERT_TRUE(mine.Set("shop", "a", "enabled").ok());
  ASSERT_TRUE(mine.Set("shop", "b", "pending").ok());
  ASSERT_TRUE(other.Set("shop", "c", "enabled").ok());
  std::ofstream(dir_ + "/services_shop_web.patch.json") << "{}";
  ASSERT_TRUE(mine.ClearOthers({"shop/a"}).ok());
  EXPECT_TRUE(Has("node-1_pod_shop_a.patch.json"));
  EXPECT_FALSE(Has("node-1_pod_shop_b.patch.json"));
  EXPECT_TRUE(Has("node-11_pod_shop_c.patch.json"));
  EXPECT_TRUE(Has("services_shop_web.patch.json"));
}

TEST_F(Annotations, WithoutADirectoryNothingIsWritten) {
  PatchAnnotator annotator("", "node-1");
  EXPECT_TRUE(annotator.Set("shop", "a", "enabled").ok());
  EXPECT_TRUE(annotator.Clear("shop", "a").ok());
  EXPECT_TRUE(annotator.ClearOthers({}).ok());
}

}  // namespace
}  // namespace mesh::node
