#include "ztunnel/cmd/proxy_config.h"

#include <gtest/gtest.h>

#include "ztunnel/base/status.h"

namespace mesh::cmd {
namespace {

// Without PROXY_CONFIG itself.
Environment Merged(Environment environment, const std::optional<std::string>& mesh = {}) {
  auto merged = WithProxyConfig(std::move(environment), mesh);
  EXPECT_TRUE(merged.ok()) << merged.status();
  if (!merged.ok()) return {};
  merged->erase("PROXY_CONFIG");
  return *std::move(merged);
}

std::string ErrorOf(const std::string& proxy_config, const std::optional<std::string>& mesh = {}) {
  return std::string(MessageOf(WithProxyConfig({{"PROXY_CONFIG", proxy_config}}, mesh).status()));
}

constexpr char kMesh[] =
    "trustDomain: ignored\n"
    "defaultConfig:\n"
    "  discoveryAddress: from-mesh:15012\n"
    "  statusPort: 15888\n"
    "  terminationDrainDuration: 5s\n"
    "  proxyMetadata:\n"
    "    ISTIO_META_FOO: foo\n"
    "    ISTIO_META_BAR: from-mesh\n";

TEST(ProxyConfig, TheMeshFileGivesDefaults) {
  EXPECT_EQ(Merged({}, kMesh), (Environment{{"XDS_ADDRESS", "from-mesh:15012"},
                                            {"MESH_STATS_PORT", "15888"},
                                            {"ISTIO_META_FOO", "foo"},
                                            {"ISTIO_META_BAR", "from-mesh"}}));
}

TEST(ProxyConfig, TheVariableWinsOverTheFileFieldByField) {
  const std::string json =
      R"({"discoveryAddress": "from-variable:15012", "proxyAdminPort": 15999, "concurrency": 3,
          "proxyMetadata": {"ISTIO_META_BAR": "bar", "NO_PREFIX": "n", "ISTIO_META_ON": true}})";
  EXPECT_EQ(Merged({{"PROXY_CONFIG", json}}, kMesh),
            (Environment{{"XDS_ADDRESS", "from-variable:15012"},
                         {"MESH_STATS_PORT", "15888"},
                         {"MESH_ADMIN_PORT", "15999"},
                         {"ZTUNNEL_WORKER_THREADS", "3"},
                         {"ISTIO_META_FOO", "foo"},
                         {"ISTIO_META_BAR", "bar"},
                         {"ISTIO_META_NO_PREFIX", "n"},
                         {"ISTIO_META_ON", "true"}}));
}

TEST(ProxyConfig, TheEnvironmentWinsOverBothAlsoWithAnEmptyValue) {
  const Environment merged = Merged(
      {{"XDS_ADDRESS", ""}, {"ISTIO_META_FOO", "mine"}, {"PROXY_CONFIG", "concurrency: 0"}}, kMesh);
  EXPECT_EQ(merged.at("XDS_ADDRESS"), "");
  EXPECT_EQ(merged.at("ISTIO_META_FOO"), "mine");
  EXPECT_EQ(merged.at("ZTUNNEL_WORKER_THREADS"), "100%");
}

TEST(ProxyConfig, NamesThatAreNoMetadataSetNothing) {
  const Environment merged =
      Merged({{"PROXY_CONFIG", "proxyMetadata: {CA_ADDRESS: 'https://evil:15012'}"}});
  EXPECT_EQ(merged, (Environment{{"ISTIO_META_CA_ADDRESS", "https://evil:15012"}}));
}

TEST(ProxyConfig, EmptyTextsSayNothing) {
  EXPECT_EQ(Merged({{"PROXY_CONFIG", ""}}, ""), Environment());
  EXPECT_EQ(Merged({{"PROXY_CONFIG", "{}"}}, "defaultConfig:\n"), Environment());
}

TEST(ProxyConfig, ErrorsNameTheSourceAndTheField) {
  EXPECT_EQ(ErrorOf("proxyAdminPort: 99999"),
            "PROXY_CONFIG: proxyAdminPort is no number from 1 to 65535");
  EXPECT_EQ(ErrorOf("concurrency: -1"), "PROXY_CONFIG: concurrency is no number from 0 to 65535");
  EXPECT_EQ(ErrorOf("proxyMetadata: {A: [1]}"), "PROXY_CONFIG: proxyMetadata.A is no text");
  EXPECT_EQ(ErrorOf("- a list"), "PROXY_CONFIG: is no object");
  EXPECT_EQ(ErrorOf("", "defaultConfig: {statusPort: x}"),
            "./etc/istio/config/mesh: statusPort is no number from 1 to 65535");
  EXPECT_TRUE(ErrorOf("{").starts_with("PROXY_CONFIG: not YAML")) << ErrorOf("{");
}

TEST(ProxyConfig, AMissingFileIsNoErrorAnUnreadableOneIs) {
  const auto missing = ReadMeshConfig("/does/not/exist");
  ASSERT_TRUE(missing.ok()) << missing.status();
  EXPECT_FALSE(missing->has_value());
  EXPECT_FALSE(ReadMeshConfig("/proc/self").ok()) << "a directory";
}

}  // namespace
}  // namespace mesh::cmd
