#include "ztunnel/admin/endpoints.h"

#include <gtest/gtest.h>
#include <httplib.h>

#include <atomic>

#include "ztunnel/base/log.h"
#include "ztunnel/core/telemetry/registry.h"

namespace mesh::admin {
namespace {

class Ports : public ::testing::Test {
 protected:
  void Serve(HttpHandler handler) {
    auto server = HttpServer::Start("127.0.0.1", 0, std::move(handler));
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    client_ = std::make_unique<httplib::Client>("127.0.0.1", server_->port());
  }
  std::unique_ptr<HttpServer> server_;
  std::unique_ptr<httplib::Client> client_;
};

TEST_F(Ports, AdminAnswersItsPagesAndNothingElse) {
  int quits = 0;
  Serve(AdminHandler({.config_dump = [] { return std::optional<std::string>("{}"); },
                      .quit = [&] { ++quits; },
                      .initial_log_levels = "info"}));
  auto dump = client_->Get("/config_dump");
  ASSERT_TRUE(dump);
  EXPECT_EQ(dump->status, 200);
  EXPECT_EQ(dump->body, "{}");
  EXPECT_EQ(client_->Get("/")->status, 200);
  EXPECT_EQ(client_->Get("/nothing")->status, 404);
  EXPECT_EQ(client_->Post("/config_dump")->status, 405);
  EXPECT_EQ(client_->Get("/quitquitquit")->status, 405);
  EXPECT_EQ(client_->Get("/logging")->status, 405);
  EXPECT_EQ(quits, 0);
  EXPECT_EQ(client_->Post("/quitquitquit")->body, "shutdown now\n");
  EXPECT_EQ(quits, 1);
}

TEST_F(Ports, LevelsChangeAndComeBack) {
  Serve(AdminHandler(
      {.config_dump = [] { return std::nullopt; }, .quit = [] {}, .initial_log_levels = "info"}));
  EXPECT_EQ(client_->Post("/logging?level=dns%3Ddebug,access=warn")->status, 200);
  EXPECT_EQ(LogLevels(), "info,access=warn,dns=debug");
  EXPECT_EQ(client_->Post("/logging?level=loud")->status, 400);
  EXPECT_EQ(client_->Post("/logging")->body, "current log level is info,access=warn,dns=debug\n");
  EXPECT_EQ(client_->Post("/logging?reset")->body, "current log level is info\n");
  EXPECT_EQ(client_->Get("/config_dump")->status, 503);
}

TEST_F(Ports, StatsSpeakBothForms) {
  telemetry::MetricsRegistry registry;
  Serve(StatsHandler(registry));
  auto open = client_->Get("/metrics");
  ASSERT_TRUE(open);
  EXPECT_NE(open->get_header_value("Content-Type").find("openmetrics"), std::string::npos);
  EXPECT_TRUE(open->body.ends_with("# EOF\n"));
  auto packed = client_->Get("/stats/prometheus", {{"Accept-Encoding", "gzip"}});
  ASSERT_TRUE(packed);
  EXPECT_EQ(packed->get_header_value("Content-Encoding"), "gzip");
  EXPECT_EQ(packed->body, open->body);  // unpacked by the client
  auto text = client_->Get("/metrics", {{"Accept", "text/plain"}});
  EXPECT_EQ(text->body.find("# EOF"), std::string::npos);
  EXPECT_EQ(client_->Get("/")->status, 404);
}

TEST_F(Ports, ReadinessNamesWhatIsPending) {
  Readiness readiness;
  std::atomic<bool> ready = false;
  readiness.Add("state manager", [&] { return ready.load(); });
  readiness.Add("proxy", [&] { return ready.load(); });
  Serve(ReadinessHandler(readiness));
  auto pending = client_->Get("/healthz/ready");
  EXPECT_EQ(pending->status, 500);
  EXPECT_EQ(pending->body, "not ready, pending: state manager, proxy\n");
  ready = true;
  EXPECT_EQ(client_->Get("/healthz/ready")->body, "ready\n");
}

TEST_F(Ports, SilentConnectionsDoNotHoldTheOthers) {
  Readiness readiness;
  Serve(ReadinessHandler(readiness));
  for (int i = 0; i < 3; ++i) {
    httplib::Client idle("127.0.0.1", server_->port());
    idle.set_keep_alive(true);
    EXPECT_EQ(idle.Get("/healthz/ready")->status, 200);
    EXPECT_EQ(client_->Get("/healthz/ready")->status, 200);
  }
}

}  // namespace
}  // namespace mesh::admin
