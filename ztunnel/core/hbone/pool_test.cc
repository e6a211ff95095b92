#include "ztunnel/core/hbone/pool.h"

#include <gtest/gtest.h>

#include "ztunnel/core/identity/local_authority.h"
#include "ztunnel/core/telemetry/telemetry.h"

namespace mesh::hbone {
namespace {

struct Silent final : h2::StreamHandler {
  void OnHeaders(const h2::Headers&) override {}
  void OnData(std::span<const std::byte>) override {}
  void OnEnd() override {}
  void OnClosed(uint32_t) override {}
  Produced Produce(std::span<std::byte>) override { return {Produced::Kind::kBlocked}; }
};

base::Task<void> Ask(Pool& pool, PoolKey key, absl::Status& status) {
  Silent handler;
  status = (co_await pool.Open(std::move(key), {}, handler)).status();
}

TEST(Pool, KeepsNothingOfWhatItRefused) {
  base::EventLoop loop;
  net::SharedBuffers buffers;
  identity::LocalAuthority authority;
  identity::CertificateManager manager(authority, {});
  identity::PeerVerifier verifier;
  Pool::Options options;
  options.max_connections = 0;
  Pool pool(loop, buffers, manager, verifier, nullptr, options);
  const identity::Identity us{"cluster.local", "shop", "us"}, them{"cluster.local", "shop", "them"};
  base::TaskSet tasks;
  for (uint16_t port = 1; port <= 100; ++port) {
    absl::Status status;
    tasks.Start(Ask(pool, {us, {them}, {IpAddress::V4(0x7f000001), port}, std::nullopt}, status));
    EXPECT_EQ(telemetry::ReasonOf(status), MESH_REASON_LIMIT) << status;
  }
  EXPECT_EQ(pool.keys(), 0u);
}

}  // namespace
}  // namespace mesh::hbone
