// What waypoints are told: in which order, and who is told what.
#include <gtest/gtest.h>

#include "agent/controller/xds/delta_session.h"
#include "agent/k8s/labels.h"

namespace mesh::controller {
namespace {

using Names = std::vector<std::string>;

class L7View : public ResourceView {
 public:
  ResourceChange Put(ResourceType type, const std::string& name, const std::string& body,
                     Names waypoints = {}) {
    Resource resource;
    resource.name = name;
    resource.version = resource.body = body;
    resource.waypoints = std::move(waypoints);
    all_[type][name] = std::make_shared<const Resource>(std::move(resource));
    return {type, name, all_[type][name]};
  }
  ResourceChange Drop(ResourceType type, const std::string& name) {
    all_[type].erase(name);
    return {type, name, nullptr};
  }
  const Compiler::Resources& resources(ResourceType type) const override { return all_[type]; }
  ResourceRef Find(ResourceType, const std::string&) const override { return nullptr; }
  Names EndpointsOf(const std::string&) const override { return {}; }
  Names WorkloadsOn(const std::string&) const override { return {}; }

 private:
  mutable std::map<ResourceType, Compiler::Resources> all_;
};

class WaypointSessionTest : public testing::Test {
 protected:
  WaypointSessionTest() {
    view_.Put(ResourceType::kPolicy, "shop/p", "p");
    view_.Put(ResourceType::kPeer, "uid", "peer");
    view_.Put(ResourceType::kCluster, "c", "c");
    view_.Put(ResourceType::kFrontend, "shop/reviews/80", "f", {"shop/gate"});
    view_.Put(ResourceType::kFrontend, "bank/ledger/80", "g", {"bank/waypoint"});
  }
  // Subscribes to everything, frontends first.
  void Subscribe(const std::string& gateway) {
    for (const ResourceType type : {ResourceType::kFrontend, ResourceType::kCluster,
                                    ResourceType::kPeer, ResourceType::kPolicy}) {
      DeltaSession::Request request;
      request.set_type_url(std::string(UrlOf(type)));
      request.mutable_node()->set_id("waypoint~10.0.0.9~gate-1.shop~shop.svc.cluster.local");
      auto& metadata = *request.mutable_node()->mutable_metadata()->mutable_fields();
      metadata["NAMESPACE"].set_string_value("shop");
      auto& labels = *metadata["LABELS"].mutable_struct_value()->mutable_fields();
      labels[k8s::kGatewayNameLabel].set_string_value(gateway);
      ASSERT_TRUE(session_.OnRequest(request).ok());
    }
  }
  // "policy +shop/p", acknowledged; empty when there is nothing to say.
  std::string Next(bool acknowledge = true) {
    const auto response = session_.Next("v", now_);
    if (!response) return "";
    std::string text;
    for (const ResourceType type : kResourceTypes) {
      if (response->type_url() == UrlOf(type)) text = NameOf(type);
    }
    for (const auto& resource : response->resources()) text += " +" + resource.name();
    for (const std::string& name : response->removed_resources()) text += " -" + name;
    if (acknowledge) Acknowledge(*response);
    return text;
  }
  void Acknowledge(const DeltaSession::Response& response) {
    DeltaSession::Request request;
    request.set_type_url(response.type_url());
    request.set_response_nonce(response.nonce());
    ASSERT_TRUE(session_.OnRequest(request).ok());
  }

  L7View view_;
  DeltaSession session_{"s1", view_};
  absl::Time now_ = absl::UnixEpoch() + absl::Hours(1);
};

TEST_F(WaypointSessionTest, WhatIsNamedComesBeforeWhoNamesIt) {
  Subscribe("gate");
  EXPECT_EQ(Next(), "policy +shop/p");
  EXPECT_EQ(Next(), "peer +uid");
  EXPECT_EQ(Next(), "cluster +c");
  EXPECT_EQ(Next(), "frontend +shop/reviews/80");
  EXPECT_EQ(Next(), "");
}

TEST_F(WaypointSessionTest, WhatIsNamedGoesAfterWhoNamedIt) {
  Subscribe("gate");
  while (!Next().empty()) {
  }
  session_.OnChanges({view_.Drop(ResourceType::kCluster, "c"),
                      view_.Drop(ResourceType::kPolicy, "shop/p"),
                      view_.Put(ResourceType::kFrontend, "shop/reviews/80", "f2", {"shop/gate"})});
  EXPECT_EQ(Next(), "frontend +shop/reviews/80");
  EXPECT_EQ(Next(), "policy -shop/p");
  EXPECT_EQ(Next(), "cluster -c");
  EXPECT_EQ(Next(), "");
}

TEST_F(WaypointSessionTest, AFrontendWaitsForTheClusterThatIsStillOnItsWay) {
  Subscribe("gate");
  EXPECT_EQ(Next(), "policy +shop/p");
  EXPECT_EQ(Next(), "peer +uid");
  EXPECT_EQ(Next(false), "cluster +c");
  EXPECT_EQ(Next(), "frontend +shop/reviews/80") << "what was sent comes first on the stream";
  session_.OnChanges({view_.Put(ResourceType::kCluster, "d", "d"),
                      view_.Put(ResourceType::kFrontend, "shop/x/80", "x", {"shop/gate"})});
  EXPECT_EQ(Next(), "") << "the first clusters are not acknowledged";
  now_ += DeltaSession::kAckPatience;
  EXPECT_EQ(Next(), "cluster +d");
  EXPECT_EQ(Next(), "frontend +shop/x/80");
}

TEST_F(WaypointSessionTest, OneWaypointIsNotToldOfAnothersServices) {
  Subscribe("gate");
  while (!Next().empty()) {
  }
  session_.OnChanges(
      {view_.Put(ResourceType::kFrontend, "shop/reviews/80", "f", {"bank/waypoint"})});
  EXPECT_EQ(Next(), "frontend -shop/reviews/80");
  session_.OnChanges(
      {view_.Put(ResourceType::kFrontend, "bank/ledger/80", "g2", {"bank/waypoint"})});
  EXPECT_EQ(Next(), "");
}

TEST_F(WaypointSessionTest, WhoIsNoWaypointIsToldOfNone) {
  Subscribe("");
  EXPECT_EQ(Next(), "policy +shop/p");
  EXPECT_EQ(Next(), "peer +uid");
  EXPECT_EQ(Next(), "cluster +c");
  EXPECT_EQ(Next(), "frontend") << "an answer is owed";
}

}  // namespace
}  // namespace mesh::controller
