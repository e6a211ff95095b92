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
            "\"q\\\" b\\\\ \\u000a \xc3\xa4 \xef\xbf\xbd \xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
}

TEST(Readiness, NamesWhatIsPending) {
  Readiness readiness;
  bool state = false, proxy = false;
  readiness.Add("state manager", [&] { return state; });
  readiness.Add("dns proxy", [] { return true; });
  readiness.Add("proxy", [&] { return proxy; });
  EXPECT_EQ(readiness.Pending(), "state manager, proxy");
  state = proxy = true;
  EXPECT_EQ(readiness.Pending(), "");
  proxy = false;
  EXPECT_EQ(readiness.Pending(), "proxy");
}

}  // namespace
}  // namespace mesh::admin
