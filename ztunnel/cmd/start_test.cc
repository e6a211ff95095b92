// The program itself, as far as the settings that it cannot honour: it says which, and ends.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdio.h>
#include <sys/wait.h>

#include <string>

namespace mesh::cmd {
namespace {

using ::testing::HasSubstr;

struct Ended {
  int code = -1;
  std::string says;
};

Ended Start(const std::string& variables, const std::string& arguments = "") {
  Ended ended;
  const std::string command =
      "cd / && env -i " + variables + " " + MESH_ZTUNNEL + " " + arguments + " 2>&1";
  FILE* out = ::popen(command.c_str(), "r");
  if (out == nullptr) return ended;
  char buffer[4096];
  while (const size_t n = ::fread(buffer, 1, sizeof(buffer), out)) ended.says.append(buffer, n);
  const int status = ::pclose(out);
  if (WIFEXITED(status)) ended.code = WEXITSTATUS(status);
  return ended;
}

TEST(StartTest, ASettingThatIsRefusedEndsItWithItsName) {
  const Ended ended = Start("PROXY_MODE=dedicated");
  EXPECT_EQ(ended.code, 2);
  EXPECT_THAT(ended.says, HasSubstr("ztunnel: PROXY_MODE=\"dedicated\" is not supported"));
}

TEST(StartTest, AProxyConfigThatCannotBeReadEndsIt) {
  const Ended ended = Start("PROXY_CONFIG=[");
  EXPECT_EQ(ended.code, 2);
  EXPECT_THAT(ended.says, HasSubstr("ztunnel: PROXY_CONFIG: not YAML"));
}

TEST(StartTest, GoodSettingsBringItToItsFiles) {
  const Ended ended = Start("XDS_ADDRESS= CRL_PATH=/does/not/exist", "proxy ztunnel");
  EXPECT_EQ(ended.code, 1);
  EXPECT_THAT(ended.says, HasSubstr("CRL_PATH: open /does/not/exist"));
}

TEST(StartTest, TheVersionNeedsNoSettings) {
  const Ended ended = Start("PROXY_MODE=dedicated", "version");
  EXPECT_EQ(ended.code, 0);
  EXPECT_THAT(ended.says, HasSubstr("ztunnel "));
}

}  // namespace
}  // namespace mesh::cmd
