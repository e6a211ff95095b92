// The client over real gRPC and TLS against a server of the same protocol, and its copy on disk.
#include "ztunnel/core/xds/xds_client.h"

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <condition_variable>
#include <deque>
#include <filesystem>
#include <future>
#include <mutex>
#include <thread>

#include "proto/discovery.grpc.pb.h"
#include "proto/workload.pb.h"
#include "ztunnel/core/identity/local_authority.h"
#include "ztunnel/core/xds/node_metadata.h"

namespace mesh::xds {
namespace {

using Service = envoy::service::discovery::v3::AggregatedDiscoveryService;

Resource Pod(const std::string& name, const std::string& version, bool bad = false) {
  istio::workload::Address address;
  auto& w = *address.mutable_workload();
  w.set_uid("Kubernetes//Pod/shop/" + name);
  w.set_name(name);
  w.set_namespace_("shop");
  w.add_addresses(bad ? "abc" : IpAddress::V4(0x0a000001).ToBytes());
  Resource out;
  out.set_name(w.uid());
  out.set_version(version);
  out.mutable_resource()->PackFrom(address);
  return out;
}

// Answers first requests with `pods`, keeps all requests, ends streams on request.
class FakeServer : public Service::Service {
 public:
  grpc::Status DeltaAggregatedResources(
      grpc::ServerContext* context, grpc::ServerReaderWriter<Response, Request>* stream) override {
    Request request;
    while (stream->Read(&request)) {
      std::lock_guard lock(mutex_);
      const auto token = context->client_metadata().find("clusterid");
      cluster = token == context->client_metadata().end()
                    ? ""
                    : std::string(token->second.data(), token->second.size());
      requests.push_back(request);
      changed_.notify_all();
      if (!request.response_nonce().empty()) {
        if (end_after_ack && request.type_url() == kAddressType) return grpc::Status::OK;
        continue;
      }
      if (policies_alone && request.type_url() == kAddressType) {
        return {grpc::StatusCode::UNAVAILABLE, "going away"};
      }
      Response response;
      response.set_type_url(request.type_url());
      response.set_nonce("nonce");
      if (request.type_url() == kAddressType && request.has_node()) {
        for (const Resource& r : pods) *response.add_resources() = r;
      }
      if (!request.has_node()) {  // on demand
        if (!answer_demands) continue;
        Resource found = Pod("found", "1");
        found.add_aliases(request.resource_names_subscribe(0));
        *response.add_resources() = found;
      }
      stream->Write(response);
    }
    return grpc::Status::OK;
  }
  template <typename Fn>
  bool WaitFor(Fn fn) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(10), fn);
  }
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Resource> pods;
  std::vector<Request> requests;
  std::string cluster;
  bool end_after_ack = false;
  std::atomic<bool> policies_alone = false;  // the stream ends when more is asked for
  std::atomic<bool> answer_demands = true;
};

class XdsClientTest : public ::testing::Test {
 protected:
  XdsClientTest() { Serve(); }
  ~XdsClientTest() override {
    Stop();
    if (server_) server_->Shutdown(std::chrono::system_clock::now());
    std::filesystem::remove(copy_);
  }

  void Serve() {
    grpc::SslServerCredentialsOptions tls;
    tls.pem_key_cert_pairs.push_back({ca_.root_key_pem(), ca_.root_pem()});
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:" + std::to_string(port_), grpc::SslServerCredentials(tls),
                             &port_);
    builder.RegisterService(&service_);
    server_ = builder.BuildAndStart();
  }
  void Start(XdsClient::Options options = {}) {
    identity::ControlPlane plane;
    plane.address = "https://127.0.0.1:" + std::to_string(port_);
    plane.root_ca = ca_.root_pem();
    plane.alt_hostname = "authority.local";
    loop_ = std::make_unique<base::EventLoop>();
    store_ = std::make_unique<state::StateStore>();
    client_ = std::make_unique<XdsClient>(*loop_, *store_, MakeGrpcTransport(*loop_, plane),
                                          std::move(options), [this](state::MeshStateRef state) {
                                            std::lock_guard lock(mutex_);
                                            state_ = std::move(state);
                                          });
    client_->Start();
    runner_ = std::thread([this] { loop_->Run(); });
  }
  void Stop() {
    if (!client_) return;
    loop_->Post([this] {
      client_.reset();
      loop_->Stop();
    });
    runner_.join();
  }
  state::MeshStateRef State() {
    std::lock_guard lock(mutex_);
    return state_;
  }
  template <typename Fn>
  static bool Soon(Fn fn) {
    for (int i = 0; i < 10'000; ++i) {
      if (fn()) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return false;
  }

  identity::LocalAuthority ca_;
  FakeServer service_;
  std::unique_ptr<grpc::Server> server_;
  int port_ = 0;
  std::unique_ptr<base::EventLoop> loop_;
  std::unique_ptr<state::StateStore> store_;
  std::unique_ptr<XdsClient> client_;
  std::thread runner_;
  std::mutex mutex_;
  state::MeshStateRef state_;
  const std::string copy_ = testing::TempDir() + "/copy-" + std::to_string(::getpid());
};

TEST_F(XdsClientTest, LoadsTheMeshAndRefusesABadResourceByName) {
  service_.pods = {Pod("a", "1"), Pod("b", "1", /*bad=*/true)};
  Start();
  ASSERT_TRUE(Soon([&] { return client_->ready(); }));
  EXPECT_NE(State()->FindWorkloadByUid("Kubernetes//Pod/shop/a"), nullptr);
  EXPECT_EQ(State()->FindWorkloadByUid("Kubernetes//Pod/shop/b"), nullptr);
  ASSERT_TRUE(service_.WaitFor([&] { return service_.requests.size() >= 4; }));
  EXPECT_EQ(service_.cluster, "Kubernetes");
  std::string nack;
  for (const Request& r : service_.requests) nack += r.error_detail().message();
  EXPECT_EQ(nack, "Kubernetes//Pod/shop/b: addresses has 3 bytes, want 4 or 16");
  EXPECT_EQ(client_->counters().types[0].messages, 1u);
  EXPECT_EQ(client_->counters().types[0].rejected, 1u);
  EXPECT_TRUE(client_->counters().connected);
}

TEST_F(XdsClientTest, ConnectsAgainTellingWhatItHolds) {
  service_.pods = {Pod("a", "7")};
  service_.end_after_ack = true;
  Start();
  ASSERT_TRUE(service_.WaitFor([&] {
    for (const Request& r : service_.requests) {
      const auto& told = r.initial_resource_versions();
      const auto it = told.find("Kubernetes//Pod/shop/a");
      if (it != told.end() && it->second == "7") return true;
    }
    return false;
  }));
  EXPECT_TRUE(Soon([&] { return client_->counters().terminations[3] > 0; }));
}

TEST_F(XdsClientTest, SurvivesAServerThatGoesAndComesBack) {
  service_.pods = {Pod("a", "1")};
  Start();
  ASSERT_TRUE(Soon([&] { return client_->ready(); }));
  server_->Shutdown(std::chrono::system_clock::now());
  server_.reset();
  ASSERT_TRUE(Soon([&] { return !client_->counters().connected; }));
  EXPECT_NE(State()->FindWorkloadByUid("Kubernetes//Pod/shop/a"), nullptr);
  service_.pods = {Pod("b", "1")};
  Serve();
  EXPECT_TRUE(
      Soon([&] { return State()->FindWorkloadByUid("Kubernetes//Pod/shop/b") != nullptr; }));
}

TEST_F(XdsClientTest, StartsFromTheCopyOnlyWhenNobodyAnswers) {
  service_.pods = {Pod("a", "1")};
  XdsClient::Options options;
  options.copy_path = copy_;
  options.copy_after = absl::Milliseconds(300);
  Start(options);
  ASSERT_TRUE(Soon([&] { return client_->ready(); }));
  ASSERT_TRUE(Soon([&] { return std::filesystem::exists(copy_); }));
  Stop();
  server_->Shutdown(std::chrono::system_clock::now());
  server_.reset();
  state_ = nullptr;
  Start(options);
  ASSERT_TRUE(Soon([&] { return client_->ready(); }));
  EXPECT_FALSE(client_->counters().connected);
  EXPECT_NE(State()->FindWorkloadByUid("Kubernetes//Pod/shop/a"), nullptr);
}

TEST_F(XdsClientTest, StartsFromTheCopyWhenTheAnswerEndsHalfWay) {
  service_.pods = {Pod("a", "1")};
  XdsClient::Options options;
  options.copy_path = copy_;
  options.copy_after = absl::Milliseconds(50);
  Start(options);
  ASSERT_TRUE(Soon([&] { return std::filesystem::exists(copy_); }));
  Stop();
  service_.policies_alone = true;
  state_ = nullptr;
  options.copy_after = absl::Milliseconds(300);
  Start(options);
  ASSERT_TRUE(Soon([&] { return client_->ready(); }));
  EXPECT_TRUE(Soon([&] { return client_->counters().types[1].messages > 0; }));
  EXPECT_NE(State()->FindWorkloadByUid("Kubernetes//Pod/shop/a"), nullptr);
}

TEST_F(XdsClientTest, DemandsWakeWhenTheAliasArrives) {
  XdsClient::Options options;
  options.on_demand = true;
  Start(options);
  ASSERT_TRUE(Soon([&] { return client_->ready(); }));
  std::promise<bool> woken;
  client_->DemandAddress("/10.0.0.1", *loop_, [&](bool answered) {
    woken.set_value(answered && State()->FindWorkload("", IpAddress::V4(0x0a000001)) != nullptr);
  });
  EXPECT_TRUE(woken.get_future().get());
  EXPECT_EQ(client_->counters().demands, 1u);
  EXPECT_EQ(client_->counters().demands_waiting, 0u);
}

TEST_F(XdsClientTest, DemandsThatNobodyAnswersAreGivenUp) {
  service_.answer_demands = false;
  XdsClient::Options options;
  options.on_demand = true;
  options.demand_timeout = absl::Milliseconds(50);
  Start(options);
  ASSERT_TRUE(Soon([&] { return client_->ready(); }));
  std::promise<bool> woken;
  client_->DemandAddress("/10.0.0.1", *loop_, [&](bool answered) { woken.set_value(answered); });
  EXPECT_FALSE(woken.get_future().get());
  EXPECT_EQ(client_->counters().demands_given_up, 1u);
  EXPECT_EQ(client_->counters().demands_waiting, 0u);
}

TEST(NodeMetadata, IsWhatTheControlPlaneReads) {
  NodeInfo info;
  info.pod_name = "ztunnel-n1";
  info.pod_namespace = "istio-system";
  info.node_name = "n1";
  info.environment = {{"ISTIO_META_NETWORK", "net"},
                      {"ISTIO_METAJSON_X", "{\"a\": 1}"},
                      {"ISTIO_METAJSON_BAD", "{"},
                      {"OTHER", "x"}};
  const Node node = MakeNode(info);
  EXPECT_EQ(node.id(), "ztunnel~1.1.1.1~ztunnel-n1.istio-system~istio-system.svc.cluster.local");
  const auto& fields = node.metadata().fields();
  EXPECT_EQ(fields.at("NAME").string_value(), "ztunnel-n1");
  EXPECT_EQ(fields.at("NODE_NAME").string_value(), "n1");
  EXPECT_EQ(fields.at("CLUSTER_ID").string_value(), "Kubernetes");
  EXPECT_EQ(fields.at("NETWORK").string_value(), "net");
  EXPECT_EQ(fields.at("X").struct_value().fields().at("a").number_value(), 1);
  EXPECT_FALSE(fields.contains("BAD"));
  EXPECT_FALSE(fields.contains("OTHER"));
}

}  // namespace
}  // namespace mesh::xds
