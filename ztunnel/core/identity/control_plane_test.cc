#include "ztunnel/core/identity/control_plane.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace mesh::identity {
namespace {

TEST(ControlPlane, TakesHttpsAddressesOnly) {
  EXPECT_EQ(*TargetOf("https://istiod.istio-system.svc:15012"), "istiod.istio-system.svc:15012");
  EXPECT_EQ(*TargetOf("https://10.89.0.254:15012/"), "10.89.0.254:15012");
  EXPECT_EQ(*TargetOf("https://[fd00::1]:15012"), "[fd00::1]:15012");
  EXPECT_EQ(*TargetOf("https://[fd00::1]"), "[fd00::1]:443");
  for (const char* bad : {"", "http://a:1", "a:1", "https://", "https://a:1/path"}) {
    EXPECT_FALSE(TargetOf(bad).ok()) << bad;
  }
}

TEST(ControlPlane, ReadsTheTokenAtEveryCall) {
  const std::string path = testing::TempDir() + "/token-" + std::to_string(::getpid());
  ControlPlane plane;
  plane.token_file = path;
  plane.headers["X-Extra"] = "1";
  EXPECT_NE(CallMetadata(plane).status().ToString().find(path), std::string::npos);
  std::ofstream(path) << "one\n";
  const auto first = CallMetadata(plane);
  ASSERT_TRUE(first.ok());
  EXPECT_EQ((*first)[0], (std::pair<std::string, std::string>("authorization", "Bearer one")));
  EXPECT_EQ((*first)[1], (std::pair<std::string, std::string>("clusterid", "Kubernetes")));
  EXPECT_EQ((*first)[2], (std::pair<std::string, std::string>("x-extra", "1")));
  std::ofstream(path) << "two";
  EXPECT_EQ((*CallMetadata(plane))[0].second, "Bearer two");
  std::ofstream(path) << "two\nlines";
  EXPECT_FALSE(CallMetadata(plane).ok());
  std::ofstream(path) << " \n";
  EXPECT_FALSE(CallMetadata(plane).ok());
  std::filesystem::remove(path);
}

TEST(ControlPlane, RootsAreAPathOrTextOrTheSystems) {
  EXPECT_EQ(*ReadRoots("SYSTEM"), "");
  EXPECT_EQ(*ReadRoots("-----BEGIN CERTIFICATE-----\n"), "-----BEGIN CERTIFICATE-----\n");
  EXPECT_FALSE(ReadRoots("/does/not/exist").ok());
  EXPECT_FALSE(ReadRoots("/dev/null").ok());
}

}  // namespace
}  // namespace mesh::identity
