#include "ztunnel/base/log.h"

#include <gtest/gtest.h>

namespace mesh {
namespace {

TEST(Log, ABadLevelChangesNothing) {
  InitLogging("info,xds=debug", LogFormat::kPlain);
  EXPECT_EQ(LogLevels(), "info,xds=debug");
  EXPECT_FALSE(SetLogLevels("xds=loud"));
  EXPECT_EQ(LogLevels(), "info,xds=debug");
  EXPECT_TRUE(SetLogLevels("dns=trace"));
  EXPECT_EQ(LogLevels(), "info,dns=trace,xds=debug");
  EXPECT_EQ(Logger("dns")->level(), spdlog::level::trace);
}

TEST(Log, QuotedCannotForgeALine) { EXPECT_EQ(Quoted("a\"b\\c\nd"), "\"a\\\"b\\\\c\\u000ad\""); }

}  // namespace
}  // namespace mesh
