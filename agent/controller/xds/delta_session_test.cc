#include "agent/controller/xds/delta_session.h"

#include <gtest/gtest.h>

#include "agent/controller/xds/debouncer.h"

namespace mesh::controller {
namespace {

using Request = DeltaSession::Request;

constexpr char kService[] = "shop/web.shop.svc.cluster.local";

// A state that tests change by hand.
class FakeView : public ResourceView {
 public:
  void Put(const std::string& name, const std::string& body, std::vector<std::string> aliases = {},
           std::vector<std::string> services = {}, const std::string& node = "",
           bool workload = false) {
    all_[name] = std::make_shared<const Resource>(
        Resource{name, "v-" + body, body, std::move(aliases), node, std::move(services), workload});
  }
  void Drop(const std::string& name) { all_.erase(name); }
  ResourceChange PutPolicy(const std::string& name, const std::string& body) {
    policies_[name] =
        std::make_shared<const Resource>(Resource{name, "v-" + body, body, {}, "", {}});
    return {ResourceType::kAuthorization, name, policies_[name]};
  }
  ResourceChange DropPolicy(const std::string& name) {
    policies_.erase(name);
    return {ResourceType::kAuthorization, name, nullptr};
  }
  ResourceChange Change(const std::string& name) const {
    const auto it = all_.find(name);
    return {ResourceType::kAddress, name, it == all_.end() ? nullptr : it->second};
  }

  const Compiler::Resources& resources(ResourceType type) const override {
    return type == ResourceType::kAddress ? all_ : policies_;
  }
  ResourceRef Find(ResourceType, const std::string& name) const override {
    for (const auto& [key, resource] : all_) {
      if (key == name) return resource;
      for (const auto& alias : resource->aliases) {
        if (alias == name) return resource;
      }
    }
    return nullptr;
  }
  std::vector<std::string> EndpointsOf(const std::string& service) const override {
    return Where([&](const Resource& r) {
      return std::count(r.services.begin(), r.services.end(), service) != 0;
    });
  }
  std::vector<std::string> WorkloadsOn(const std::string& node) const override {
    return Where([&](const Resource& r) { return !node.empty() && r.owner == node; });
  }

  Compiler::Resources policies_;

 private:
  template <typename F>
  std::vector<std::string> Where(F holds) const {
    std::vector<std::string> names;
    for (const auto& [name, resource] : all_) {
      if (holds(*resource)) names.push_back(name);
    }
    return names;
  }
  Compiler::Resources all_;
};

class DeltaSessionTest : public testing::Test {
 protected:
  DeltaSessionTest() {
    view_.Put("w1", "1", {"/10.0.0.1"}, {kService}, "n1");
    view_.Put("w2", "2", {"/10.0.0.2"}, {kService}, "n2");
    view_.Put("w3", "3", {"/10.0.0.3"}, {}, "n2");
    view_.Put(kService, "s", {"/10.96.0.1"});
  }
  static Request First(std::string_view type) {
    Request request;
    request.set_type_url(std::string(type));
    request.mutable_node()->set_id("ztunnel~1.1.1.1~z.ns~ns.svc.cluster.local");
    (*request.mutable_node()->mutable_metadata()->mutable_fields())["NODE_NAME"].set_string_value(
        "n1");
    return request;
  }
  Request Later(std::vector<std::string> subscribe) {
    Request request;
    request.set_type_url(std::string(kAddressUrl));
    for (auto& name : subscribe) request.add_resource_names_subscribe(name);
    return request;
  }
  std::optional<DeltaSession::Response> Next() { return session_.Next("v1", now_); }
  void Ack(const DeltaSession::Response& response, const std::string& error = "") {
    Request request;
    request.set_type_url(response.type_url());
    request.set_response_nonce(response.nonce());
    if (!error.empty()) request.mutable_error_detail()->set_message(error);
    EXPECT_TRUE(session_.OnRequest(request).ok());
  }
  static std::vector<std::string> NamesOf(const DeltaSession::Response& response) {
    std::vector<std::string> names;
    for (const auto& resource : response.resources()) names.push_back(resource.name());
    return names;
  }

  FakeView view_;
  DeltaSession session_{"s1", view_};
  absl::Time now_ = absl::UnixEpoch() + absl::Hours(1);
};

using Names = std::vector<std::string>;

// The bytes of one field of length-delimited type, number 1 (a workload) or 2 (a service).
std::string Field(int number, const std::string& content) {
  return std::string(1, static_cast<char>(number << 3 | 2)) + static_cast<char>(content.size()) +
         content;
}

TEST_F(DeltaSessionTest, WorkloadsAreServedAloneToWhoAsksForThem) {
  view_.Put("w1", Field(1, "one"), {"/10.0.0.1"}, {kService}, "n1", true);
  view_.Put("w2", Field(1, "two"), {"/10.0.0.2"}, {kService}, "n2", true);
  view_.Put("w3", Field(1, "three"), {"/10.0.0.3"}, {}, "n2", true);
  view_.Put(kService, Field(2, "service"), {"/10.96.0.1"});
  ASSERT_TRUE(session_.OnRequest(First(kWorkloadUrl)).ok());
  auto response = Next();
  ASSERT_TRUE(response);
  EXPECT_EQ(response->type_url(), kWorkloadUrl);
  EXPECT_EQ(NamesOf(*response), (Names{"w1", "w2", "w3"}));
  EXPECT_EQ(response->resources(1).resource().type_url(), kWorkloadUrl);
  EXPECT_EQ(response->resources(1).resource().value(), "two");
  EXPECT_EQ(session_.Statuses().at(0).word, "STALE");
  Ack(*response);
  EXPECT_FALSE(Next());
  ASSERT_EQ(session_.Statuses().size(), 1u);
  EXPECT_EQ(session_.Statuses().at(0).word, "SYNCED");
  EXPECT_EQ(session_.Statuses().at(0).resources, 3u);

  view_.Put(kService, Field(2, "changed"));
  session_.OnChanges({view_.Change(kService)});
  EXPECT_FALSE(Next()) << "services are nothing to it";
  view_.Put("w2", Field(1, "new"), {"/10.0.0.2"}, {kService}, "n2", true);
  view_.Drop("w3");
  session_.OnChanges({view_.Change("w2"), view_.Change("w3")});
  response = Next();
  ASSERT_TRUE(response);
  ASSERT_EQ(NamesOf(*response), Names{"w2"});
  EXPECT_EQ(response->resources(0).resource().value(), "new");
  ASSERT_EQ(response->removed_resources_size(), 1);
  EXPECT_EQ(response->removed_resources(0), "w3");
}

TEST_F(DeltaSessionTest, WorkloadsOnDemandAreThoseOfTheNodeAndThoseNamed) {
  view_.Put("w1", Field(1, "one"), {"/10.0.0.1"}, {kService}, "n1", true);
  view_.Put("w2", Field(1, "two"), {"/10.0.0.2"}, {kService}, "n2", true);
  view_.Put("w3", Field(1, "three"), {"/10.0.0.3"}, {}, "n2", true);
  Request request = First(kWorkloadUrl);
  request.add_resource_names_subscribe("*");
  request.add_resource_names_unsubscribe("*");
  ASSERT_TRUE(session_.OnRequest(request).ok());
  auto response = Next();
  ASSERT_TRUE(response);
  EXPECT_EQ(NamesOf(*response), Names{"w1"});
  Ack(*response);
  Request more;
  more.set_type_url(std::string(kWorkloadUrl));
  for (const char* name : {"/10.0.0.3", "/10.96.0.1", "/10.9.9.9"}) {
    more.add_resource_names_subscribe(name);
  }
  ASSERT_TRUE(session_.OnRequest(more).ok());
  response = Next();
  ASSERT_TRUE(response);
  ASSERT_EQ(NamesOf(*response), Names{"w3"});
  EXPECT_EQ(response->resources(0).aliases(0), "/10.0.0.3");
  EXPECT_EQ(response->removed_resources_size(), 2) << "a service's address, and nobody's";
}

TEST_F(DeltaSessionTest, WorkloadsAndAddressesAreSubscribedSeparately) {
  view_.Put("w1", Field(1, "one"), {"/10.0.0.1"}, {kService}, "n1", true);
  ASSERT_TRUE(session_.OnRequest(First(kAddressUrl)).ok());
  ASSERT_TRUE(session_.OnRequest(First(kWorkloadUrl)).ok());
  const auto addresses = Next();
  const auto workloads = Next();
  ASSERT_TRUE(addresses && workloads);
  EXPECT_EQ(addresses->type_url(), kAddressUrl);
  EXPECT_EQ(addresses->resources_size(), 4);
  EXPECT_EQ(addresses->resources(1).resource().value(), Field(1, "one"));
  EXPECT_EQ(workloads->type_url(), kWorkloadUrl);
  EXPECT_EQ(NamesOf(*workloads), Names{"w1"});
}

TEST_F(DeltaSessionTest, FirstRequestNeedsANodeId) {
  Request request;
  request.set_type_url(std::string(kAddressUrl));
  EXPECT_FALSE(session_.OnRequest(request).ok());
}

TEST_F(DeltaSessionTest, WildcardGetsAllThenDeltas) {
  ASSERT_TRUE(session_.OnRequest(First(kAddressUrl)).ok());
  auto response = Next();
  ASSERT_TRUE(response);
  EXPECT_EQ(response->resources_size(), 4);
  EXPECT_EQ(response->resources(0).aliases_size(), 0);
  view_.Put("w1", "1b");
  view_.Drop("w3");
  session_.OnChanges({view_.Change("w1"), view_.Change("w3"), view_.Change("w2")});
  EXPECT_FALSE(Next()) << "one response at a time";
  Ack(*response);
  response = Next();
  ASSERT_TRUE(response);
  EXPECT_EQ(NamesOf(*response), Names{"w1"});
  ASSERT_EQ(response->removed_resources_size(), 1);
  EXPECT_EQ(response->removed_resources(0), "w3");
  EXPECT_EQ(session_.Statuses()[0].word, "STALE");
  Ack(*response);
  EXPECT_EQ(session_.Statuses()[0].word, "SYNCED");
  EXPECT_FALSE(Next());
}

TEST_F(DeltaSessionTest, EmptyWildcardIsAnsweredOnce) {
  ASSERT_TRUE(session_.OnRequest(First(kAuthorizationUrl)).ok());
  ASSERT_TRUE(Next());
  EXPECT_FALSE(Next());
}

TEST_F(DeltaSessionTest, StaleNoncesAreIgnored) {
  ASSERT_TRUE(session_.OnRequest(First(kAddressUrl)).ok());
  auto response = Next();
  auto old = *response;
  old.set_nonce("other");
  Ack(old);
  EXPECT_EQ(session_.Statuses()[0].acked_version, "");
  Ack(*response);
  EXPECT_EQ(session_.Statuses()[0].acked_version, "v1");
}

TEST_F(DeltaSessionTest, NackIsRememberedAndNotResent) {
  ASSERT_TRUE(session_.OnRequest(First(kAddressUrl)).ok());
  Ack(*Next(), "w1: bad");
  EXPECT_EQ(session_.Statuses()[0].word, "NACK");
  EXPECT_EQ(session_.Statuses()[0].reason, "w1: bad");
  EXPECT_EQ(session_.nacks(), 1u);
  EXPECT_FALSE(Next());
}

TEST_F(DeltaSessionTest, SilentClientsAreSentMoreAfterAWhile) {
  ASSERT_TRUE(session_.OnRequest(First(kAddressUrl)).ok());
  ASSERT_TRUE(Next());
  view_.Put("w1", "1b");
  session_.OnChanges({view_.Change("w1")});
  EXPECT_FALSE(Next());
  now_ += DeltaSession::kAckPatience;
  ASSERT_TRUE(Next());
}

TEST_F(DeltaSessionTest, ReconnectSkipsWhatIsKnownAndRemovesWhatIsGone) {
  Request request = First(kAddressUrl);
  (*request.mutable_initial_resource_versions())["w1"] = "v-1";
  (*request.mutable_initial_resource_versions())["w2"] = "v-old";
  (*request.mutable_initial_resource_versions())["gone"] = "v-x";
  ASSERT_TRUE(session_.OnRequest(request).ok());
  const auto response = Next();
  EXPECT_EQ(NamesOf(*response), (Names{kService, "w2", "w3"}));
  ASSERT_EQ(response->removed_resources_size(), 1);
  EXPECT_EQ(response->removed_resources(0), "gone");
}

TEST_F(DeltaSessionTest, PoliciesAreAlwaysSentAnew) {
  view_.policies_["ns/p"] =
      std::make_shared<const Resource>(Resource{"ns/p", "v", "b", {}, "", {}});
  Request request = First(kAuthorizationUrl);
  (*request.mutable_initial_resource_versions())["ns/p"] = "v";
  (*request.mutable_initial_resource_versions())["ns/q"] = "v";
  ASSERT_TRUE(session_.OnRequest(request).ok());
  const auto response = Next();
  EXPECT_EQ(NamesOf(*response), Names{"ns/p"});
  EXPECT_EQ(response->removed_resources_size(), 1);
}

// A client of both types that has everything, w1 under ns/old.
class PolicyOrder : public DeltaSessionTest {
 protected:
  void SetUp() override {
    view_.PutPolicy("ns/old", "1");
    ASSERT_TRUE(session_.OnRequest(First(kAddressUrl)).ok());
    ASSERT_TRUE(session_.OnRequest(First(kAuthorizationUrl)).ok());
    while (auto response = Next()) Ack(*response);
  }
  // w1 lists ns/new instead of ns/old.
  void Replace() {
    view_.Put("w1", "under-new");
    session_.OnChanges(
        {view_.Change("w1"), view_.PutPolicy("ns/new", "1"), view_.DropPolicy("ns/old")});
  }
};

TEST_F(PolicyOrder, NewPoliciesThenWorkloadsThenTheEndOfPolicies) {
  Replace();
  auto response = Next();
  ASSERT_TRUE(response);
  EXPECT_EQ(NamesOf(*response), Names{"ns/new"});
  EXPECT_EQ(response->removed_resources_size(), 0);
  Ack(*response);
  response = Next();
  ASSERT_TRUE(response);
  EXPECT_EQ(NamesOf(*response), Names{"w1"});
  response = Next();
  ASSERT_TRUE(response);
  EXPECT_EQ(response->type_url(), kAuthorizationUrl);
  ASSERT_EQ(response->removed_resources_size(), 1);
  EXPECT_EQ(response->removed_resources(0), "ns/old");
  EXPECT_FALSE(Next());
}

TEST_F(PolicyOrder, WorkloadsWaitForPoliciesThatCannotGoYet) {
  session_.OnChanges({view_.PutPolicy("ns/other", "1")});
  const auto in_flight = Next();
  ASSERT_TRUE(in_flight);
  Replace();
  EXPECT_FALSE(Next()) << "w1 would list what the client does not have";
  Ack(*in_flight);
  EXPECT_EQ(NamesOf(*Next()), Names{"ns/new"});
  EXPECT_EQ(NamesOf(*Next()), Names{"w1"});
}

TEST_F(PolicyOrder, TheEndOfAPolicyWaitsForNoLaterWorkloads) {
  Replace();
  Ack(*Next());
  const auto workloads = Next();
  ASSERT_TRUE(workloads);
  view_.Put("w2", "2b");
  session_.OnChanges({view_.Change("w2")});
  const auto response = Next();
  ASSERT_TRUE(response);
  EXPECT_EQ(response->removed_resources_size(), 1);
}

TEST_F(DeltaSessionTest, OnDemandGetsItsNodeAndWhatItAsksFor) {
  Request request = First(kAddressUrl);
  request.add_resource_names_subscribe("*");
  request.add_resource_names_unsubscribe("*");
  ASSERT_TRUE(session_.OnRequest(request).ok());
  auto response = Next();
  ASSERT_TRUE(response);
  EXPECT_EQ(NamesOf(*response), Names{"w1"}) << "the workload of its own node";
  Ack(*response);
  ASSERT_TRUE(session_.OnRequest(Later({"/10.0.0.3"})).ok());
  response = Next();
  EXPECT_EQ(NamesOf(*response), Names{"w3"});
  EXPECT_EQ(response->resources(0).aliases(0), "/10.0.0.3");
  Ack(*response);
  ASSERT_TRUE(session_.OnRequest(Later({"/10.9.9.9"})).ok());
  response = Next();
  ASSERT_EQ(response->removed_resources_size(), 1);
  EXPECT_EQ(response->removed_resources(0), "/10.9.9.9");
  Ack(*response);
  // What was missing comes when it appears.
  view_.Put("w9", "9", {"/10.9.9.9"});
  session_.OnChanges({view_.Change("w9")});
  response = Next();
  EXPECT_EQ(NamesOf(*response), Names{"w9"});
  Ack(*response);
  ASSERT_TRUE(session_.OnRequest(Later({"/10.96.0.1"})).ok());
  response = Next();
  EXPECT_EQ(NamesOf(*response), (Names{kService, "w2"})) << "the service and its endpoints";
  Ack(*response);
  view_.Put("w5", "5", {"/10.0.0.5"}, {kService});
  session_.OnChanges({view_.Change("w5")});
  response = Next();
  EXPECT_EQ(NamesOf(*response), Names{"w5"}) << "a new endpoint of a service it has";
}

// Until then a client waits with what ended meanwhile.
TEST_F(DeltaSessionTest, OnDemandTheFirstRequestIsAnsweredEvenWithNothing) {
  Request request = First(kAddressUrl);
  request.add_resource_names_subscribe("*");
  request.add_resource_names_unsubscribe("*");
  (*request.mutable_initial_resource_versions())["w1"] = "v-1";
  ASSERT_TRUE(session_.OnRequest(request).ok());
  const auto response = Next();
  ASSERT_TRUE(response);
  EXPECT_EQ(NamesOf(*response), Names{});
  EXPECT_EQ(response->removed_resources_size(), 0);
  Ack(*response);
  EXPECT_FALSE(Next());
}

TEST_F(DeltaSessionTest, AskingAgainIsAnsweredAgain) {
  Request request = First(kAddressUrl);
  request.add_resource_names_subscribe("w3");
  ASSERT_TRUE(session_.OnRequest(request).ok());
  Ack(*Next());
  ASSERT_TRUE(session_.OnRequest(Later({"w3"})).ok());
  const auto response = Next();
  ASSERT_TRUE(response);
  EXPECT_EQ(NamesOf(*response), Names{"w3"});
}

TEST(Debouncer, PushesTheFirstAtOnceAndGathersTheRest) {
  Debouncer debouncer(absl::Milliseconds(100), absl::Seconds(10));
  absl::Time now = absl::UnixEpoch();
  EXPECT_FALSE(debouncer.TakeDue(now));
  debouncer.OnChange(now);
  EXPECT_TRUE(debouncer.TakeDue(now));
  now += absl::Milliseconds(10);
  debouncer.OnChange(now);
  EXPECT_FALSE(debouncer.TakeDue(now));
  now += absl::Milliseconds(90);
  debouncer.OnChange(now);
  EXPECT_FALSE(debouncer.TakeDue(now + absl::Milliseconds(99)));
  EXPECT_TRUE(debouncer.TakeDue(now + absl::Milliseconds(100)));
  // A change every 50 ms is pushed every ten seconds.
  int pushes = 0;
  for (int i = 0; i < 400; ++i) {
    now += absl::Milliseconds(50);
    debouncer.OnChange(now);
    if (debouncer.TakeDue(now)) ++pushes;
  }
  EXPECT_GE(pushes, 1);
  EXPECT_LE(pushes, 3);
}

}  // namespace
}  // namespace mesh::controller
