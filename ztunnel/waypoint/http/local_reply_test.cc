#include "ztunnel/waypoint/http/local_reply.h"

#include <gtest/gtest.h>

namespace mesh::http {
namespace {

HeaderMap Fields(std::string_view content_type) {
  HeaderMap fields;
  if (!content_type.empty()) fields.Add("content-type", content_type);
  return fields;
}

TEST(LocalReply, IsTextForHttp) {
  const LocalReply reply = MakeLocalReply(Fields("application/json"), 403, "RBAC: access denied");
  EXPECT_EQ(reply.head.status, 403);
  EXPECT_EQ(reply.body, "RBAC: access denied");
  EXPECT_EQ(reply.head.headers.Find("content-length"), "19");
  EXPECT_EQ(reply.head.headers.Find("content-type"), "text/plain");
}

TEST(LocalReply, HasNoBodyWhereThereIsNothingToSay) {
  const LocalReply reply = MakeLocalReply(Fields(""), 404, "");
  EXPECT_EQ(reply.head.status, 404);
  EXPECT_TRUE(reply.head.headers.empty());
  EXPECT_TRUE(reply.body.empty());
}

TEST(LocalReply, IsTrailersOnlyForGrpc) {
  const LocalReply reply = MakeLocalReply(Fields("application/grpc"), 503, "no healthy\n100% down");
  EXPECT_EQ(reply.head.status, 200);
  EXPECT_EQ(reply.head.headers.Find("content-type"), "application/grpc");
  EXPECT_EQ(reply.head.headers.Find("grpc-status"), "14");
  EXPECT_EQ(reply.head.headers.Find("grpc-message"), "no healthy%0A100%25 down");
  EXPECT_TRUE(reply.body.empty());
  EXPECT_FALSE(reply.head.headers.Has("content-length"));
}

TEST(LocalReply, SaysTheGrpcStatusThatItIsGiven) {
  const LocalReply reply = MakeLocalReply(Fields("application/grpc+proto"), 500, "", 5);
  EXPECT_EQ(reply.head.headers.Find("grpc-status"), "5");
  EXPECT_FALSE(reply.head.headers.Has("grpc-message"));
}

TEST(LocalReply, MapsStatusesAsEnvoyDoes) {
  constexpr std::pair<uint16_t, int> kMapped[] = {{400, 13}, {401, 16}, {403, 7},  {404, 12},
                                                  {429, 14}, {502, 14}, {503, 14}, {504, 14},
                                                  {500, 2},  {200, 2},  {408, 2}};
  for (const auto& [http, grpc] : kMapped) EXPECT_EQ(GrpcStatusOfHttp(http), grpc) << http;
  constexpr uint16_t kBack[] = {200, 499, 500, 400, 504, 404, 409, 403, 429,
                                400, 409, 400, 501, 500, 503, 500, 401};
  for (int grpc = 0; grpc <= 16; ++grpc) EXPECT_EQ(HttpStatusOfGrpc(grpc), kBack[grpc]) << grpc;
  EXPECT_EQ(HttpStatusOfGrpc(99), 500);
}

}  // namespace
}  // namespace mesh::http
