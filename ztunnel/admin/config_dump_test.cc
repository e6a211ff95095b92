#include "ztunnel/admin/config_dump.h"

#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/json_util.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <sstream>

#include "proto/authorization.pb.h"
#include "proto/workload.pb.h"
#include "ztunnel/base/status.h"
#include "ztunnel/core/authz/policy.h"

namespace mesh::admin {
namespace {

using google::protobuf::Struct;
using google::protobuf::Value;

Struct Parse(const std::string& text) {
  Struct out;
  EXPECT_TRUE(google::protobuf::util::JsonStringToMessage(text, &out).ok()) << text;
  return out;
}

const Struct& Recorded() {
  static const Struct* recorded = [] {
    std::ifstream in(MESH_TEST_DATA "/ztunnel/node-a.config_dump.json");
    std::stringstream text;
    text << in.rdbuf();
    return new Struct(Parse(text.str()));
  }();
  return *recorded;
}

const Struct& RecordedItem(const std::string& list, const std::string& name) {
  for (const Value& value : Recorded().fields().at(list).list_value().values()) {
    if (value.struct_value().fields().at("name").string_value() == name)
      return value.struct_value();
  }
  ADD_FAILURE() << "no " << name << " in the recorded " << list;
  return Recorded();
}

std::string Difference(const Struct& a, const Struct& b) {
  google::protobuf::util::MessageDifferencer differencer;
  std::string report;
  differencer.ReportDifferencesToString(&report);
  return differencer.Compare(a, b) ? "" : report;
}

std::set<std::string> Keys(const Struct& s) {
  std::set<std::string> keys;
  for (const auto& [key, value] : s.fields()) keys.insert(key);
  return keys;
}

class Dump : public ::testing::Test {
 protected:
  void SetUp() override {
    namespace pb = istio::workload;
    pb::Address pod;
    pb::Workload& w = *pod.mutable_workload();
    w.set_uid("Kubernetes//Pod/default/client");
    w.set_name("client");
    w.set_namespace_("default");
    w.set_service_account("client");
    w.add_addresses(IpAddress::Parse("10.244.1.10")->ToBytes());
    w.set_tunnel_protocol(pb::HBONE);
    w.set_node("zp-na");
    w.set_canonical_name("client");
    w.set_canonical_revision("v1");
    w.set_workload_name("client");
    w.set_cluster_id("Kubernetes");
    auto* port = (*w.mutable_services())["default/client.default.svc.cluster.local"].add_ports();
    port->set_service_port(80);
    port->set_target_port(8080);
    ASSERT_TRUE(store_.UpsertAddress(w.uid(), pod).ok());
    pb::Address service;
    pb::Service& s = *service.mutable_service();
    s.set_name("client");
    s.set_namespace_("default");
    s.set_hostname("client.default.svc.cluster.local");
    s.add_addresses()->set_address(IpAddress::Parse("172.30.0.1")->ToBytes());
    s.add_ports()->set_service_port(80);
    s.mutable_ports(0)->set_target_port(8080);
    ASSERT_TRUE(store_.UpsertAddress("default/client.default.svc.cluster.local", service).ok());
    istio::security::Authorization policy;
    policy.set_name("no-9090");
    policy.set_namespace_("default");
    policy.set_scope(istio::security::NAMESPACE);
    policy.set_action(istio::security::DENY);
    policy.add_groups()->add_rules()->add_matches()->add_destination_ports(9090);
    ASSERT_TRUE(store_.UpsertPolicy("default/no-9090", policy).ok());
    snapshot_.mesh = store_.Publish();
    auto info = std::make_shared<tunnel::Pod>();
    info->uid = "uid-client";
    info->name = "client";
    info->ns = "default";
    info->service_account = "client";
    snapshot_.pods.push_back({info, true, absl::OkStatus()});
  }

  Struct Made() {
    return Parse(ConfigDump(snapshot_, "unknown", [](JsonWriter& json) {
      json.BeginObject();
      json.EndObject();
    }));
  }
  Struct MadeItem(const std::string& list) {
    return Made().fields().at(list).list_value().values(0).struct_value();
  }

  state::StateStore store_;
  DumpSnapshot snapshot_;
};

TEST_F(Dump, TopLevelKeysAreTheReferences) { EXPECT_EQ(Keys(Made()), Keys(Recorded())); }

TEST_F(Dump, AWorkloadIsTheReferences) {
  Struct made = MadeItem("workloads");
  made.mutable_fields()->erase("services");  // known here, left out there
  EXPECT_EQ(Difference(RecordedItem("workloads", "client"), made), "");
}

TEST_F(Dump, AServiceIsTheReferences) {
  EXPECT_EQ(Difference(RecordedItem("services", "client"), MadeItem("services")), "");
}

TEST_F(Dump, APolicyIsTheReferences) {
  EXPECT_EQ(Difference(RecordedItem("policies", "no-9090"), MadeItem("policies")), "");
}

TEST_F(Dump, WorkloadStateIsTheReferences) {
  const auto& recorded = Recorded()
                             .fields()
                             .at("workloadState")
                             .struct_value()
                             .fields()
                             .at("uid-client")
                             .struct_value();
  const Struct made =
      Made().fields().at("workloadState").struct_value().fields().at("uid-client").struct_value();
  EXPECT_EQ(Difference(recorded, made), "");
}

TEST_F(Dump, ConnectionsStandUnderTheirPod) {
  tunnel::ActiveConnection c;
  c.pod_uid = "uid-client";
  c.src = *SocketAddress::Parse("10.244.1.10:1000");
  c.original_dst = *SocketAddress::Parse("172.30.0.3:80");
  c.actual_dst = *SocketAddress::Parse("10.244.2.20:15008");
  c.hbone = true;
  snapshot_.connections.push_back(c);
  const Struct made =
      Made().fields().at("workloadState").struct_value().fields().at("uid-client").struct_value();
  const Struct item = made.fields()
                          .at("connections")
                          .struct_value()
                          .fields()
                          .at("outbound")
                          .list_value()
                          .values(0)
                          .struct_value();
  EXPECT_EQ(Keys(item), (std::set<std::string>{"src", "originalDst", "actualDst", "protocol"}));
  EXPECT_EQ(item.fields().at("protocol").string_value(), "HBONE");
}

TEST_F(Dump, ACertificateHasTheReferencesKeysAndStates) {
  const Struct recorded =
      Recorded().fields().at("certificates").list_value().values(0).struct_value();
  identity::CertificateState state{.identity = {"cluster.local", "default", "client"},
                                   .certificate = nullptr,
                                   .last_error = absl::OkStatus()};
  snapshot_.certificates.push_back(state);
  EXPECT_EQ(Keys(MadeItem("certificates")), Keys(recorded));
  EXPECT_EQ(MadeItem("certificates").fields().at("state").string_value(), "Initializing");
  snapshot_.certificates[0].last_error = Unavailable("no answer");
  EXPECT_EQ(MadeItem("certificates").fields().at("state").string_value(), "Unavailable: no answer");
}

TEST_F(Dump, NothingKnownYetIsStillADump) {
  snapshot_ = {};
  EXPECT_EQ(Keys(Made()), Keys(Recorded()));
}

}  // namespace
}  // namespace mesh::admin
