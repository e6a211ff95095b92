#include "ztunnel/pods/zds_packet.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include "proto/zds.pb.h"

namespace mesh::pods {
namespace {

namespace zds = istio::workload::zds;

std::vector<UniqueFd> Fds(int n) {
  std::vector<UniqueFd> fds;
  for (int i = 0; i < n; ++i) fds.emplace_back(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  return fds;
}

std::string Add() {
  zds::WorkloadRequest request;
  request.mutable_add()->set_uid("u1");
  request.mutable_add()->mutable_workload_info()->set_name("web-0");
  request.mutable_add()->mutable_workload_info()->set_namespace_("shop");
  return request.SerializeAsString();
}

TEST(ZdsPacket, AddComesWithExactlyOneDescriptor) {
  auto request = DecodeRequest(Add(), Fds(1));
  ASSERT_TRUE(request.ok()) << request.status();
  const auto& add = std::get<AddRequest>(*request);
  EXPECT_EQ(add.uid, "u1");
  EXPECT_TRUE(add.has_info);
  EXPECT_EQ(add.ns, "shop");
  EXPECT_TRUE(static_cast<bool>(add.netns));
  EXPECT_FALSE(DecodeRequest(Add(), {}).ok());
  EXPECT_FALSE(DecodeRequest(Add(), Fds(2)).ok());
}

TEST(ZdsPacket, OthersComeWithNone) {
  zds::WorkloadRequest request;
  request.mutable_del()->set_uid("u2");
  EXPECT_EQ(std::get<DelRequest>(*DecodeRequest(request.SerializeAsString(), {})).uid, "u2");
  EXPECT_FALSE(DecodeRequest(request.SerializeAsString(), Fds(1)).ok());
  request.mutable_snapshot_sent();
  EXPECT_TRUE(
      std::holds_alternative<SnapshotSentRequest>(*DecodeRequest(request.SerializeAsString(), {})));
}

TEST(ZdsPacket, EmptyAndUndecodableAreRefused) {
  EXPECT_FALSE(DecodeRequest("", {}).ok());
  EXPECT_FALSE(DecodeRequest("\xff\xff\xff", {}).ok());
}

TEST(ZdsPacket, FieldNumbersAreThoseOnTheWire) {
  // del is oneof field 2, and its uid field 2 as well.
  EXPECT_EQ(std::get<DelRequest>(*DecodeRequest("\x12\x03\x12\x01x", {})).uid, "x");
  EXPECT_EQ(std::get<KeepRequest>(*DecodeRequest("\x2a\x03\x0a\x01y", {})).uid, "y");
  EXPECT_EQ(EncodeHello(), "\x08\x01");
  EXPECT_EQ(EncodeAck(""), std::string("\x0a\x00", 2));
  EXPECT_LT(EncodeAck(std::string(5000, 'x')).size(), kMaxPacketBytes);
}

}  // namespace
}  // namespace mesh::pods
