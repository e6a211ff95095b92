#include "tools/meshapp/bookinfo.h"

#include <gtest/gtest.h>

namespace mesh::meshapp {
namespace {

Request Get(std::string_view target) {
  Request request;
  request.method = "GET";
  request.SetTarget(target);
  return request;
}

Bookinfo Of(Bookinfo::Role role, const char* version, bool ratings = true) {
  Bookinfo::Options options;
  options.role = role;
  options.version = version;
  options.pod = "pod-1";
  options.with_ratings = ratings;
  return Bookinfo(options);
}

TEST(Bookinfo, ProductpageAsksDetailsAndReviews) {
  const Bookinfo app = Of(Bookinfo::Role::kProductpage, "v1");
  const auto calls = app.CallsFor(Get("/productpage?u=normal"));
  ASSERT_EQ(calls.size(), 2u);
  EXPECT_EQ(calls[0].to.host + calls[0].path, "details/details/0");
  EXPECT_EQ(calls[1].to.host + calls[1].path, "reviews/reviews/0");
  EXPECT_TRUE(app.CallsFor(Get("/health")).empty());
  EXPECT_TRUE(app.CallsFor(Get("/api/v1/products/x")).empty());
  EXPECT_EQ(app.CallsFor(Get("/api/v1/products/0/ratings")).at(0).path, "/ratings/0");
}

TEST(Bookinfo, PageShowsTheErrorOfAPartAndIsStill200) {
  const Bookinfo app = Of(Bookinfo::Role::kProductpage, "v1");
  const Response page = app.Compose(Get("/productpage"), {{"details:9080", 200, "{\"id\":0}", true},
                                                          {"reviews:9080", 503, "", false}});
  EXPECT_EQ(page.status, 200);
  EXPECT_NE(page.body.find("Error fetching product reviews!"), std::string::npos);
  EXPECT_EQ(page.body.find("Error fetching product details!"), std::string::npos);
  const Response json =
      app.Compose(Get("/api/v1/products/0"),
                  {{"details:9080", 200, "{}", true}, {"reviews:9080", 0, "refused", false}});
  EXPECT_EQ(json.status, 503);
}

TEST(Bookinfo, ReviewsVersionsDifferInTheirStars) {
  const Request request = Get("/reviews/0");
  const Bookinfo v1 = Of(Bookinfo::Role::kReviews, "v1", false),
                 v2 = Of(Bookinfo::Role::kReviews, "v2");
  EXPECT_TRUE(v1.CallsFor(request).empty());
  EXPECT_EQ(v1.Compose(request, {}).body.find("rating\""), std::string::npos);
  ASSERT_EQ(v2.CallsFor(request).size(), 1u);
  EXPECT_NE(
      v2.Compose(request, {{"ratings:9080", 200, "{}", true}}).body.find("\"color\":\"black\""),
      std::string::npos);
  EXPECT_NE(
      v2.Compose(request, {{"ratings:9080", 500, "", false}}).body.find("currently unavailable"),
      std::string::npos);
}

TEST(Bookinfo, UnknownPathsAreNotFound) {
  EXPECT_EQ(Of(Bookinfo::Role::kRatings, "v1").Compose(Get("/ratings/x"), {}).status, 404);
  EXPECT_EQ(Of(Bookinfo::Role::kDetails, "v1").Compose(Get("/"), {}).status, 404);
  EXPECT_FALSE(Bookinfo::RoleOf("shop"));
}

TEST(Bookinfo, TraceHeadersAreHandedOnAndNothingElse) {
  const Headers out = TraceHeaders({{"x-request-id", "1"},
                                    {"x-b3-traceid", "2"},
                                    {"x-b3-spanid", "3"},
                                    {"x-b3-parentspanid", "4"},
                                    {"x-b3-sampled", "1"},
                                    {"x-b3-flags", "0"},
                                    {"traceparent", "5"},
                                    {"cookie", "secret"},
                                    {"host", "x"}});
  EXPECT_EQ(out.size(), 7u);
  EXPECT_EQ(Find(out, "cookie"), "");
}

}  // namespace
}  // namespace mesh::meshapp
