#include "ztunnel/admin/json_writer.h"

#include <gtest/gtest.h>

#include "ztunnel/admin/readiness.h"

namespace mesh::admin {
namespace {

TEST(JsonWriter, SeparatesAndNests) {
  JsonWriter json;
  json.BeginObject();
  json.Member("a", 1);
  json.Key("b");
  json.BeginArray();
  json.String("x");
  json.Bool(true);
  json.Null();
  json.BeginObject();
  json.EndObject();
  json.EndArray();
  json.MemberIfAny("c", "");
  json.Member("d", "e");
  json.EndObject();
  EXPECT_EQ(std::move(json).Finish(), R"({"a":1,"b":["x",true,null,{}],"d":"e"})");
}

TEST(JsonWriter, EscapesAndRepairsText) {
  JsonWriter json;
  json.String("q\" b\\ \n \xc3\xa4 \xff \xed\xa0\x80");
  EXPECT_EQ(std::move(json).Finish(),
            "\"q\\\" b\\\\ \\u000a \xc3\xa4 \\ufffd \\ufffd\\ufffd\\ufffd\"");
}

TEST(Readiness, NamesWhatIsPending) {
  Readiness readiness;
  readiness.Set("state manager", false);
  readiness.Set("dns proxy", true);
  readiness.Set("proxy", false);
  EXPECT_EQ(readiness.Pending(), "state manager, proxy");
  readiness.Set("state manager", true);
  readiness.Set("proxy", true);
  EXPECT_EQ(readiness.Pending(), "");
  readiness.Set("proxy", false);
  EXPECT_EQ(readiness.Pending(), "proxy");
}

}  // namespace
}  // namespace mesh::admin
