#include "ztunnel/waypoint/telemetry/request_metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ztunnel/waypoint/route/facts.h"

namespace mesh::waypoint {
namespace {

using testing::HasSubstr;
using testing::Not;

std::string Written(std::initializer_list<const RequestMetrics*> workers) {
  telemetry::MetricsWriter writer(telemetry::MetricsFormat::kText);
  RequestMetrics::Write(std::span(workers.begin(), workers.size()), writer);
  return std::move(writer).Finish();
}

RequestRecord Request() {
  RequestRecord request;
  auto source = std::make_shared<state::Workload>();
  source->uid = "a";
  source->ns = "shop";
  source->workload_name = "client";
  request.source = source;
  request.source_identity = {"cluster.local", "shop", "client"};
  auto service = std::make_shared<state::Service>();
  service->name = "reviews";
  service->ns = "shop";
  service->hostname = "reviews.shop.svc.cluster.local";
  request.service = service;
  request.status = 200;
  request.duration = absl::Milliseconds(3);
  return request;
}

TEST(RequestMetrics, CountsWithIstiosLabels) {
  RequestMetrics metrics;
  metrics.Record(Request());
  const std::string text = Written({&metrics});
  EXPECT_THAT(text,
              HasSubstr("istio_requests_total{reporter=\"waypoint\",source_workload=\"client\""));
  EXPECT_THAT(text, HasSubstr("source_principal=\"spiffe://cluster.local/ns/shop/sa/client\""));
  EXPECT_THAT(text, HasSubstr("destination_service=\"reviews.shop.svc.cluster.local\""));
  EXPECT_THAT(text,
              HasSubstr("request_protocol=\"http\",response_code=\"200\",response_flags=\"-\","
                        "connection_security_policy=\"mutual_tls\"} 1"));
  EXPECT_THAT(text, HasSubstr("le=\"1.0\"} 0"));
  EXPECT_THAT(text, HasSubstr("le=\"5.0\"} 1"));
}

TEST(RequestMetrics, SumsTheSameSeriesOfAllWorkers) {
  RequestMetrics one, two;
  const RequestRecord request = Request();
  one.Record(request);
  two.Record(request);
  two.Record(request);
  EXPECT_THAT(Written({&one, &two}), HasSubstr("connection_security_policy=\"mutual_tls\"} 3"));
}

TEST(RequestMetrics, TellsGrpcStatusAndFlags) {
  RequestMetrics metrics;
  RequestRecord request = Request();
  request.grpc = true;
  request.grpc_status = "14";
  request.flags = route::kNoHealthyUpstream;
  metrics.Record(request);
  const std::string text = Written({&metrics});
  EXPECT_THAT(text, HasSubstr("request_protocol=\"grpc\""));
  EXPECT_THAT(text, HasSubstr("grpc_response_status=\"14\",response_flags=\"UH\""));
}

TEST(RequestMetrics, TakesNoForeignTextForAStatus) {
  RequestMetrics metrics;
  RequestRecord request = Request();
  request.grpc = true;
  request.grpc_status = "evil\"}";
  metrics.Record(request);
  EXPECT_THAT(Written({&metrics}), Not(HasSubstr("evil")));
}

TEST(RequestMetrics, AboveTheLimitCountsInOneSeries) {
  RequestMetrics metrics(2);
  for (uint16_t status = 200; status < 210; ++status) {
    RequestRecord request = Request();
    request.status = status;
    metrics.Record(request);
  }
  const std::string text = Written({&metrics});
  EXPECT_THAT(text, HasSubstr("response_code=\"201\""));
  EXPECT_THAT(text, Not(HasSubstr("response_code=\"202\"")));
  EXPECT_THAT(text, HasSubstr("response_code=\"0\",response_flags=\"-\","
                              "connection_security_policy=\"none\"} 8"));
}

}  // namespace
}  // namespace mesh::waypoint
