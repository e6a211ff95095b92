#include "ztunnel/waypoint/http/header_map.h"

#include <gtest/gtest.h>

#include "ztunnel/waypoint/http/message.h"

namespace mesh::http {
namespace {

std::string Text(const HeaderMap& map) {
  std::string text;
  for (size_t i = 0; i < map.size(); ++i) {
    text.append(map[i].name).append("=").append(map[i].value).append(";");
  }
  return text;
}

TEST(HeaderMap, KeepsOrderAndRepeatedNames) {
  HeaderMap map;
  map.Add("b", "1");
  map.Add("a", "2");
  map.Add("b", "3");
  EXPECT_EQ(Text(map), "b=1;a=2;b=3;");
  EXPECT_EQ(map.Find("b"), "1");
  EXPECT_EQ(map.Find("c"), std::nullopt);
  EXPECT_EQ(map.Count("b"), 2u);
  EXPECT_EQ(map.Joined("b"), "1,3");
  EXPECT_EQ(map.Joined("c"), std::nullopt);
  EXPECT_EQ(map.ByteSize(), 3 * 32 + 6u);
}

TEST(HeaderMap, SetReplacesTheFirstAndDropsTheOthers) {
  HeaderMap map;
  map.Add("x", "long value");
  map.Add("y", "2");
  map.Add("x", "3");
  map.Set("x", "short");
  EXPECT_EQ(Text(map), "x=short;y=2;");
  map.Set("x", "a value that is longer than any before");
  EXPECT_EQ(Text(map), "x=a value that is longer than any before;y=2;");
  map.Set("z", "");
  EXPECT_EQ(Text(map), "x=a value that is longer than any before;y=2;z=;");
}

TEST(HeaderMap, RemovesByNameAndByRule) {
  HeaderMap map;
  for (const char* name : {"a", "b", "a", "c", "d"}) map.Add(name, "1");
  EXPECT_EQ(map.Remove("a"), 2u);
  EXPECT_EQ(map.Remove("a"), 0u);
  EXPECT_EQ(Text(map), "b=1;c=1;d=1;");
  EXPECT_EQ(map.RemoveIf([](HeaderView field) { return field.name != "c"; }), 2u);
  EXPECT_EQ(Text(map), "c=1;");
  map.Clear();
  EXPECT_TRUE(map.empty());
}

TEST(HeaderMap, TakesItsOwnTexts) {
  HeaderMap map;
  map.Add("a", std::string(200, 'x'));
  for (int i = 0; i < 20; ++i) map.Add("b", *map.Find("a"));  // grows its memory meanwhile
  EXPECT_EQ(map[20].value, std::string(200, 'x'));
  map.Add("c", "some longer text than that of a short field");
  map.Set("b", *map.Find("c"));
  EXPECT_EQ(map.Find("b"), map.Find("c"));
  EXPECT_EQ(map.Remove(map[0].name), 1u);
  EXPECT_EQ(map[0].name, "b");
}

TEST(HeaderMap, DoesNotGrowWhenFieldsAreSetOverAndOver) {
  HeaderMap map;
  map.Add("keep", std::string(100, 'k'));
  for (int i = 0; i < 100'000; ++i) map.Set("x", std::string(i % 2 == 0 ? 10 : 300, 'x'));
  EXPECT_EQ(map.Find("keep"), std::string(100, 'k'));
  EXPECT_EQ(map.Find("x"), std::string(300, 'x'));
  // A view reaches into the map's memory: its distance from the first field's shows how large it
  // is.
  EXPECT_LT(map.Find("x")->data() - map.Find("keep")->data(), 4096);
}

TEST(HeaderMap, FromTheWireNamesAreLoweredAndChecked) {
  HeaderMap map;
  EXPECT_TRUE(map.AddFromWire("X-Request-ID", "Ab"));
  for (const std::string_view bad : {"", "a b", "a\tb", "a:", "a(", "\x80", "a\r"}) {
    EXPECT_FALSE(map.AddFromWire(bad, "1")) << bad;
  }
  EXPECT_FALSE(map.AddFromWire(std::string_view("a\0b", 3), "1"));
  EXPECT_TRUE(map.AddFromWire("!#$%&'*+-.^_`|~09AZ", ""));
  EXPECT_EQ(Text(map), "x-request-id=Ab;!#$%&'*+-.^_`|~09az=;");
  map.PopBack();
  map.Add("b", "2");
  EXPECT_EQ(Text(map), "x-request-id=Ab;b=2;");
}

TEST(HeaderMap, ValuesHoldNoControlCharacters) {
  for (const std::string_view good : {"", "a", "a b\tc", "\xc3\xa9", "a,\"b\""}) {
    EXPECT_TRUE(IsFieldValue(good)) << good;
  }
  for (const std::string_view bad : {" a", "a ", "\ta", "a\r", "a\nb", "a\x7f", "a\x01"}) {
    EXPECT_FALSE(IsFieldValue(bad)) << bad;
  }
  EXPECT_FALSE(IsFieldValue(std::string_view("a\0b", 3)));
  EXPECT_TRUE(IsFieldName("a-b"));
  EXPECT_FALSE(IsFieldName(""));
  EXPECT_FALSE(IsFieldName("a b"));
}

TEST(HeaderMap, GrpcIsKnownByItsContentType) {
  const auto grpc = [](std::string_view type) {
    HeaderMap map;
    map.Add("content-type", type);
    return IsGrpc(map);
  };
  EXPECT_TRUE(grpc("application/grpc"));
  EXPECT_TRUE(grpc("application/grpc+proto"));
  EXPECT_TRUE(grpc("Application/GRPC; charset=x"));
  EXPECT_FALSE(grpc("application/grpc-web"));
  EXPECT_FALSE(grpc("application/json"));
  EXPECT_FALSE(IsGrpc(HeaderMap()));
}

}  // namespace
}  // namespace mesh::http
