#include "ztunnel/cmd/revocation_file.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "ztunnel/base/files.h"
#include "ztunnel/base/status.h"
#include "ztunnel/core/identity/issuer_for_test.h"

namespace mesh::cmd {
namespace {

class RevocationFileTest : public testing::Test {
 protected:
  RevocationFileTest() { std::filesystem::create_directories(dir_); }
  ~RevocationFileTest() override { std::filesystem::remove_all(dir_); }
  void Write(const std::string& text) { ASSERT_TRUE(WriteFile(path_, text).ok()); }
  std::string List(int revoked) {
    return issuer_.Crl(std::vector<X509*>(static_cast<size_t>(revoked), issuer_.certificate()),
                       absl::Now() + absl::Hours(1));
  }

  const std::string dir_ = fmt::format("{}/revocation-{}", testing::TempDir(), ::getpid());
  const std::string path_ = dir_ + "/crl.pem";
  identity::IssuerForTest issuer_;
  RevocationFile file_{path_};
};

TEST_F(RevocationFileTest, AtStartItMustBeThereAndHoldAList) {
  EXPECT_NE(file_.Load().status().ToString().find(path_), std::string::npos);
  Write("no list");
  EXPECT_NE(file_.Load().status().ToString().find(path_), std::string::npos);
  Write(List(3));
  const auto lists = file_.Load();
  ASSERT_TRUE(lists.ok()) << lists.status();
  EXPECT_EQ((*lists)->revoked(), 3u);
  EXPECT_EQ(file_.counters().revoked, 3u);
}

TEST_F(RevocationFileTest, IsReadAgainWhenItChangedAndOnlyThen) {
  Write(List(1));
  ASSERT_TRUE(file_.Load().ok());
  EXPECT_EQ(file_.Changed(), nullptr);
  Write(List(2));
  const auto lists = file_.Changed();
  ASSERT_NE(lists, nullptr);
  EXPECT_EQ(lists->revoked(), 2u);
  EXPECT_EQ(file_.Changed(), nullptr);
}

TEST_F(RevocationFileTest, ABadFileOrNoneLeavesTheLastListsInForce) {
  Write(List(1));
  ASSERT_TRUE(file_.Load().ok());
  Write("cut off");
  EXPECT_EQ(file_.Changed(), nullptr);
  std::filesystem::remove(path_);
  EXPECT_EQ(file_.Changed(), nullptr);
  EXPECT_EQ(file_.Changed(), nullptr) << "said once";
  EXPECT_EQ(file_.counters().failures, 2u);
  EXPECT_EQ(file_.counters().revoked, 1u);
  Write(List(4));
  ASSERT_NE(file_.Changed(), nullptr);
}

}  // namespace
}  // namespace mesh::cmd
