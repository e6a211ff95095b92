#include "ztunnel/core/xds/delta_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "ztunnel/base/status.h"
#include "ztunnel/core/xds/backoff.h"

namespace mesh::xds {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

class FakeSink : public ResourceSink {
 public:
  absl::Status Upsert(std::string_view, const Resource& resource) override {
    if (bad.contains(resource.name())) return Invalid("field is bad");
    held[resource.name()] = resource.version();
    return absl::OkStatus();
  }
  void Remove(std::string_view, std::string_view name) override { held.erase(std::string(name)); }
  std::map<std::string, std::string> held;
  std::set<std::string> bad;
};

Response Answer(std::string_view type, const std::string& nonce,
                const std::map<std::string, std::string>& resources,
                const std::vector<std::string>& removed = {}) {
  Response out;
  out.set_type_url(std::string(type));
  out.set_nonce(nonce);
  for (const auto& [name, version] : resources) {
    auto* r = out.add_resources();
    r->set_name(name);
    r->set_version(version);
  }
  for (const auto& name : removed) out.add_removed_resources(name);
  return out;
}

std::map<std::string, std::string> VersionsIn(const Request& request) {
  const auto& versions = request.initial_resource_versions();
  return {versions.begin(), versions.end()};
}

class Delta : public ::testing::Test {
 protected:
  DeltaClient::Outcome Give(Response response) { return client_.OnResponse(response); }
  // A new stream, on which policies were answered. The first request for addresses.
  std::optional<Request> Open() {
    client_.Open();
    const auto next = Give(Answer(kAuthorizationType, "p1", {})).next;
    return next.empty() ? std::nullopt : std::optional(next[0]);
  }
  std::map<std::string, std::string> AddressesTold() { return VersionsIn(*Open()); }
  FakeSink sink_;
  DeltaClient client_{{.node =
                           [] {
                             Node n;
                             n.set_id("me");
                             return n;
                           }()},
                      sink_};
};

TEST_F(Delta, FirstRequestsAreWildcardsThatSayWhoAsks) {
  const Request policies = client_.Open();
  EXPECT_EQ(policies.type_url(), kAuthorizationType);
  const auto next = Give(Answer(kAuthorizationType, "p1", {})).next;
  ASSERT_EQ(next.size(), 1u);
  EXPECT_EQ(next[0].type_url(), kAddressType);
  for (const Request& r : {policies, next[0]}) {
    EXPECT_EQ(r.node().id(), "me");
    EXPECT_EQ(r.resource_names_subscribe_size() + r.resource_names_unsubscribe_size(), 0);
    EXPECT_TRUE(r.initial_resource_versions().empty());
    EXPECT_EQ(r.response_nonce(), "");
  }
}

TEST_F(Delta, AcksCarryTypeAndNonceAndNothingElse) {
  Open();
  const auto outcome = Give(Answer(kAddressType, "n1", {{"a", "1"}}));
  ASSERT_TRUE(outcome.reply);
  Request want;
  want.set_type_url(std::string(kAddressType));
  want.set_response_nonce("n1");
  EXPECT_EQ(outcome.reply->SerializeAsString(), want.SerializeAsString());
  EXPECT_THAT(sink_.held, ElementsAre(Pair("a", "1")));
}

TEST_F(Delta, NacksNameWhatWasRefusedAndTheRestApplies) {
  Open();
  sink_.bad = {"bad", "worse"};
  const auto outcome = Give(Answer(kAddressType, "n1", {{"a", "1"}, {"bad", "1"}, {"worse", "1"}}));
  EXPECT_EQ(outcome.reply->response_nonce(), "n1");
  EXPECT_EQ(outcome.reply->error_detail().message(), "bad: field is bad; worse: field is bad");
  EXPECT_EQ(outcome.rejected, 2u);
  EXPECT_EQ(outcome.accepted.resources_size(), 1);
  EXPECT_THAT(sink_.held, ElementsAre(Pair("a", "1")));
}

TEST_F(Delta, ReconnectTellsWhatIsHeldButNeverWhatWasRefused) {
  Open();
  Give(Answer(kAddressType, "n1", {{"a", "1"}, {"b", "1"}, {"c", "1"}}));
  sink_.bad = {"b", "d"};
  Give(Answer(kAddressType, "n2", {{"b", "2"}, {"d", "1"}}, {"c"}));
  EXPECT_THAT(sink_.held, UnorderedElementsAre(Pair("a", "1"), Pair("b", "1")));
  client_.Close();
  EXPECT_THAT(AddressesTold(), ElementsAre(Pair("a", "1")));
  sink_.bad.clear();
  Give(Answer(kAddressType, "n1", {{"b", "3"}}));
  client_.Close();
  EXPECT_THAT(AddressesTold(), ElementsAre(Pair("a", "1"), Pair("b", "3")));
}

TEST_F(Delta, ARefusedResourceThatIsGoneAfterAReconnectGoesToo) {
  Open();
  Give(Answer(kAddressType, "n1", {{"a", "1"}, {"b", "1"}}));
  sink_.bad = {"b"};
  Give(Answer(kAddressType, "n2", {{"b", "2"}}));
  client_.Close();
  Open();
  const auto outcome = Give(Answer(kAddressType, "n1", {}));
  EXPECT_THAT(sink_.held, ElementsAre(Pair("a", "1")));
  EXPECT_THAT(outcome.accepted.removed_resources(), ElementsAre("b"));
  Give(Answer(kAddressType, "n2", {}));  // later responses are deltas: silence means no change
  EXPECT_EQ(sink_.held.size(), 1u);
}

TEST_F(Delta, AuthorizationVersionsMayBeEmpty) {
  client_.Open();
  Give(Answer(kAuthorizationType, "n1", {{"ns/p", ""}}));
  client_.Close();
  EXPECT_THAT(VersionsIn(client_.Open()), ElementsAre(Pair("ns/p", "")));
}

TEST_F(Delta, IsReadyWhenEveryWildcardTypeWasAnswered) {
  client_.Open();
  Give(Answer(kAuthorizationType, "n1", {}));
  EXPECT_FALSE(client_.Ready());
  Give(Answer(kAddressType, "n1", {}));
  EXPECT_TRUE(client_.Ready());
  client_.Close();
  EXPECT_TRUE(client_.Ready());
}

TEST_F(Delta, NoAddressIsTakenBeforeThePoliciesOfItsStream) {
  client_.Open();
  const auto early = Give(Answer(kAddressType, "n1", {{"a", "1"}}));
  EXPECT_FALSE(early.reply);
  EXPECT_TRUE(sink_.held.empty());
  EXPECT_EQ(Give(Answer(kAuthorizationType, "n1", {})).next.size(), 1u);
  Give(Answer(kAddressType, "n2", {{"a", "1"}}));
  client_.Close();

  client_.Open();  // the same on every stream
  EXPECT_FALSE(Give(Answer(kAddressType, "n1", {{"a", "2"}})).reply);
  EXPECT_THAT(sink_.held, ElementsAre(Pair("a", "1")));
  const auto policies = Give(Answer(kAuthorizationType, "n1", {}));
  ASSERT_EQ(policies.next.size(), 1u);
  EXPECT_THAT(VersionsIn(policies.next[0]), ElementsAre(Pair("a", "1")));
  EXPECT_TRUE(Give(Answer(kAuthorizationType, "n2", {})).next.empty());
}

TEST_F(Delta, APolicyThatEndedMeanwhileStaysUntilTheAddressesHaveCome) {
  client_.Open();
  Give(Answer(kAuthorizationType, "n1", {{"ns/old", "1"}, {"ns/back", "1"}}));
  Give(Answer(kAddressType, "n1", {{"a", "lists ns/old"}}));
  client_.Close();

  client_.Open();
  Give(Answer(kAuthorizationType, "n1", {{"ns/new", "1"}}, {"ns/old", "ns/back"}));
  EXPECT_TRUE(sink_.held.contains("ns/old"));
  Give(Answer(kAuthorizationType, "n2", {{"ns/back", "2"}}));
  const auto addresses = Give(Answer(kAddressType, "n1", {{"a", "lists ns/new"}}));
  EXPECT_THAT(sink_.held,
              ElementsAre(Pair("a", "lists ns/new"), Pair("ns/back", "2"), Pair("ns/new", "1")));
  EXPECT_THAT(addresses.ended.removed_resources(), ElementsAre("ns/old"));
  EXPECT_EQ(client_.held(kAuthorizationType), 2u);

  // Now the order is the server's.
  Give(Answer(kAuthorizationType, "n3", {}, {"ns/new"}));
  EXPECT_FALSE(sink_.held.contains("ns/new"));
}

TEST_F(Delta, AnEndThatAStreamDidNotLiveToSeeIsToldAgain) {
  client_.Open();
  Give(Answer(kAuthorizationType, "n1", {{"ns/old", "1"}}));
  client_.Close();
  client_.Open();
  Give(Answer(kAuthorizationType, "n1", {}, {"ns/old"}));
  client_.Close();
  EXPECT_THAT(VersionsIn(client_.Open()), ElementsAre(Pair("ns/old", "1")));
  EXPECT_TRUE(sink_.held.contains("ns/old"));
}

TEST_F(Delta, UnknownTypesAreLeftAlone) {
  client_.Open();
  const auto outcome = Give(Answer("type.googleapis.com/other", "n1", {{"a", "1"}}));
  EXPECT_FALSE(outcome.reply);
  EXPECT_TRUE(sink_.held.empty());
}

TEST_F(Delta, RestoredResourcesThatTheServerDoesNotKnowGo) {
  Open();  // before the copy was taken: the server was told of nothing
  sink_.held = {{"a", "1"}, {"old", "1"}};
  client_.Restore(kAddressType, "a", "1");
  client_.Restore(kAddressType, "old", "1");
  client_.RestoreDone();
  EXPECT_TRUE(client_.Ready());
  Give(Answer(kAddressType, "n1", {{"a", "1"}}));
  EXPECT_THAT(sink_.held, ElementsAre(Pair("a", "1")));
}

Request FirstForAddresses(DeltaClient& client) {
  Response none = Answer(kAuthorizationType, "p1", {});
  return client.OnResponse(none).next.at(0);
}

TEST(DeltaMoreTypes, AreAskedForAfterTheAddressesAndBelongToBeingReady) {
  FakeSink sink;
  DeltaClient client({.node = {}, .more_types = {"type/One", "type/Two"}}, sink);
  client.Open();
  Response policies = Answer(kAuthorizationType, "p1", {});
  const auto next = client.OnResponse(policies).next;
  ASSERT_EQ(next.size(), 3u);
  EXPECT_EQ(next[1].type_url(), "type/One");
  EXPECT_EQ(next[2].type_url(), "type/Two");
  Response addresses = Answer(kAddressType, "n1", {});
  client.OnResponse(addresses);
  Response one = Answer("type/One", "n1", {{"x", "7"}});
  EXPECT_TRUE(client.OnResponse(one).reply);
  EXPECT_FALSE(client.Ready());
  Response two = Answer("type/Two", "n1", {});
  client.OnResponse(two);
  EXPECT_TRUE(client.Ready());
  EXPECT_EQ(client.held("type/One"), 1u);
  EXPECT_THAT(sink.held, ElementsAre(Pair("x", "7")));
  client.Close();

  client.Open();
  Response again = Answer(kAuthorizationType, "p1", {});
  EXPECT_THAT(VersionsIn(client.OnResponse(again).next.at(1)), ElementsAre(Pair("x", "7")));
}

TEST(DeltaOnDemand, SubscribesByNameAndIsAnsweredByAlias) {
  FakeSink sink;
  DeltaClient client({.node = {}, .addresses_on_demand = true}, sink);
  EXPECT_EQ(client.Open().resource_names_subscribe_size(), 0);
  const Request first = FirstForAddresses(client);
  EXPECT_THAT(first.resource_names_subscribe(), ElementsAre("*"));
  EXPECT_THAT(first.resource_names_unsubscribe(), ElementsAre("*"));

  std::vector<Request> requests;
  EXPECT_EQ(client.Demand("/10.0.0.1", requests), DeltaClient::Demanded::kAsk);
  EXPECT_EQ(client.Demand("/10.0.0.1", requests), DeltaClient::Demanded::kPending);
  ASSERT_EQ(requests.size(), 1u);
  EXPECT_THAT(requests[0].resource_names_subscribe(), ElementsAre("/10.0.0.1"));
  EXPECT_EQ(requests[0].response_nonce(), "");
  EXPECT_FALSE(requests[0].has_node());

  Response answer = Answer(kAddressType, "n1", {{"uid", "1"}});
  answer.mutable_resources(0)->add_aliases("/10.0.0.1");
  const auto outcome = client.OnResponse(answer);
  EXPECT_THAT(outcome.arrived, ElementsAre("uid", "/10.0.0.1"));
  EXPECT_EQ(client.Demand("/10.0.0.1", requests), DeltaClient::Demanded::kAnswered);
  EXPECT_EQ(client.Demand("uid", requests), DeltaClient::Demanded::kAnswered);
}

TEST(DeltaOnDemand, PendingNamesAreToldToTheNextStream) {
  FakeSink sink;
  DeltaClient client({.node = {}, .addresses_on_demand = true}, sink);
  std::vector<Request> requests;
  EXPECT_EQ(client.Demand("ns/host", requests), DeltaClient::Demanded::kPending);
  EXPECT_TRUE(requests.empty());
  client.Open();
  EXPECT_EQ(client.Demand("ns/other", requests), DeltaClient::Demanded::kPending);
  EXPECT_TRUE(requests.empty());
  EXPECT_THAT(VersionsIn(FirstForAddresses(client)),
              ElementsAre(Pair("ns/host", ""), Pair("ns/other", "")));
  Response miss = Answer(kAddressType, "n1", {}, {"ns/host"});
  client.OnResponse(miss);
  EXPECT_EQ(client.Demand("ns/host", requests), DeltaClient::Demanded::kAnswered);
}

TEST(DeltaOnDemand, ForgetsTheOldestDemandBeyondTheLimit) {
  FakeSink sink;
  DeltaClient client({.node = {}, .addresses_on_demand = true}, sink);
  client.Open();
  FirstForAddresses(client);
  std::vector<Request> requests;
  for (size_t i = 0; i <= DeltaClient::kMaxDemanded; ++i) {
    client.Demand("/" + std::to_string(i), requests);
  }
  ASSERT_EQ(requests.size(), DeltaClient::kMaxDemanded + 2);
  EXPECT_THAT(requests[DeltaClient::kMaxDemanded].resource_names_unsubscribe(), ElementsAre("/0"));
}

TEST(DeltaOnDemand, WhatTheOldestDemandsBroughtGoesWithTheLastOfThem) {
  FakeSink sink;
  DeltaClient client({.node = {}, .addresses_on_demand = true}, sink);
  client.Open();
  FirstForAddresses(client);
  Response own = Answer(kAddressType, "n0", {{"own", "1"}});  // comes unasked
  own.mutable_resources(0)->add_aliases("/own");
  client.OnResponse(own);
  std::vector<Request> requests;
  client.Demand("/a", requests);
  client.Demand("/b", requests);
  client.Demand("/own", requests);
  client.Demand("/vip", requests);
  client.Demand("/endpoint", requests);
  Response both = Answer(kAddressType, "n1", {{"shop/service", "1"}, {"endpoint", "1"}});
  both.mutable_resources(0)->add_aliases("/endpoint");
  both.mutable_resources(1)->add_aliases("/vip");
  client.OnResponse(both);
  Response answer = Answer(kAddressType, "n1", {{"one", "1"}, {"own", "1"}});
  answer.mutable_resources(0)->add_aliases("/a");
  answer.mutable_resources(0)->add_aliases("/b");
  answer.mutable_resources(1)->add_aliases("/own");
  client.OnResponse(answer);
  for (size_t i = 5; i < DeltaClient::kMaxDemanded; ++i) {
    client.Demand("/" + std::to_string(i), requests);
  }
  requests.clear();
  client.Demand("/more", requests);  // "/a" goes, and "/b" stands for the same
  EXPECT_TRUE(sink.held.contains("one"));
  EXPECT_EQ(client.TakeReleased().removed_resources_size(), 0);
  requests.clear();
  client.Demand("/and more", requests);
  EXPECT_FALSE(sink.held.contains("one"));
  EXPECT_THAT(client.TakeReleased().removed_resources(), ElementsAre("one"));
  ASSERT_EQ(requests.size(), 2u);
  EXPECT_THAT(requests[0].resource_names_unsubscribe(), ElementsAre("/b", "one"));
  // "/own", "/vip" and "/endpoint"
  for (const char* name : {"/x", "/y", "/z"}) client.Demand(name, requests);
  EXPECT_THAT(client.TakeReleased().removed_resources(), ElementsAre("shop/service"));
  EXPECT_THAT(sink.held, UnorderedElementsAre(Pair("own", "1"), Pair("endpoint", "1")));
  EXPECT_EQ(client.Demand("/b", requests), DeltaClient::Demanded::kAsk);
}

TEST(Backoff, DoublesAndStartsAgainAfterAPoliteEnd) {
  Backoff backoff;
  const absl::Status refused = Unavailable("connection refused");
  EXPECT_EQ(backoff.Next(refused, false), absl::Milliseconds(10));
  EXPECT_EQ(backoff.Next(refused, false), absl::Milliseconds(20));
  for (int i = 0; i < 20; ++i) backoff.Next(refused, false);
  EXPECT_EQ(backoff.Next(refused, false), absl::Seconds(15));
  EXPECT_EQ(backoff.Next(Unavailable("transport is closing"), false), absl::Milliseconds(10));
  EXPECT_EQ(backoff.Next(refused, false), absl::Milliseconds(20));
  EXPECT_EQ(backoff.Next(refused, true), absl::Milliseconds(10));
  EXPECT_EQ(backoff.Next(absl::OkStatus(), true), absl::ZeroDuration());
}

}  // namespace
}  // namespace mesh::xds
