#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tools/meshctl/json.h"
#include "tools/meshctl/output.h"
#include "tools/meshctl/yaml.h"

namespace mesh::meshctl {
namespace {

TEST(MeshctlJson, ReadsAndWritesTheSameValue) {
  const char* text = R"({"a":[1,2.5,-3,true,null],"b":{"c":"x\"\n\u00e9"},"d":{},"e":[]})";
  const auto json = Json::Parse(text);
  ASSERT_TRUE(json.ok());
  EXPECT_EQ(*Json::Parse(json->Dump()), *json);
  EXPECT_EQ(*Json::Parse(json->Dump(true)), *json);
  EXPECT_EQ(json->At("a").Items()[1].Num(), 2.5);
  EXPECT_EQ(json->Get({"b", "c"}).Str(), "x\"\n\u00e9");
  EXPECT_TRUE(json->Get({"no", "such", "thing"}).IsNull());
  EXPECT_FALSE(Json::Parse("{").ok());
}

TEST(MeshctlJson, MergePatchesReplaceAndRemove) {
  Json json = *Json::Parse(R"({"a":{"b":1,"c":2},"l":[1,2]})");
  json.Merge(*Json::Parse(R"({"a":{"b":null,"d":3},"l":[4]})"));
  EXPECT_EQ(json.Dump(), R"({"a":{"c":2,"d":3},"l":[4]})");
}

TEST(MeshctlYaml, WhatIsWrittenReadsBackTheSame) {
  const Json value = *Json::Parse(
      R"({"text":["true","1.5","10.96.0.1"," lead","a: b","x #y","multi\nline","","-","null","0x10","1:30"],"n":12,"f":false,"o":{"k":{}},"l":[[1,2],{"a":1,"b":[]}]})");
  const auto back = ParseYaml(ToYaml(value));
  ASSERT_TRUE(back.ok()) << ToYaml(value);
  ASSERT_EQ(back->size(), 1u);
  EXPECT_EQ(back->front().value.Dump(), value.Dump()) << ToYaml(value);
}

TEST(MeshctlYaml, TextThatLooksLikeSomethingElseStaysText) {
  for (const char* text : {"0x0af40202",
                           "0XFF",
                           "0o17",
                           "0123",
                           "08",
                           "1e3",
                           "1E-3",
                           "-1",
                           "+1",
                           ".5",
                           "1_000",
                           ".inf",
                           "-.inf",
                           ".nan",
                           "0x1p3",
                           "1:30",
                           "2001:db8::1",
                           "12:30:45.6",
                           "2026-01-02",
                           "2026-01-02T03:04:05Z",
                           "2026-01-02 03:04:05",
                           "yes",
                           "No",
                           "ON",
                           "off",
                           "y",
                           "N",
                           "True",
                           "FALSE",
                           "Null",
                           "~",
                           "<<",
                           "=",
                           "...",
                           "---",
                           "- a",
                           "? a",
                           "a:",
                           "12345678",
                           "0e0"}) {
    const Json value = Json::Obj({{"value", text}, {text, 1.0}, {"list", Json::Array{text}}});
    const std::string yaml = ToYaml(value);
    const auto back = ParseYaml(yaml);
    ASSERT_TRUE(back.ok()) << yaml;
    ASSERT_EQ(back->size(), 1u) << yaml;
    EXPECT_EQ(back->front().value.Dump(), value.Dump()) << yaml;
    // What one reader takes for text, another may not: it stands in quotes.
    EXPECT_EQ(ToYaml(text), Json(text).Dump() + "\n");
  }
}

TEST(MeshctlYaml, PlainTextStaysPlain) {
  for (const char* text :
       {"10.96.0.1", "10.0.0.0/8", "1.2.3", "10s", "5m", "100Mi", "v1", "reviews",
        "registry.local/app:1.2", "istio.io/v1", "a-b_c", "noon", "nobody"}) {
    EXPECT_EQ(ToYaml(text), std::string(text) + "\n");
  }
}

TEST(MeshctlYaml, DocumentsKnowTheirLines) {
  const auto documents = ParseYaml("# first\nkind: A\n---\n---\n\nkind: B\n");
  ASSERT_TRUE(documents.ok());
  ASSERT_EQ(documents->size(), 2u);
  EXPECT_GE((*documents)[1].line, 5);
  EXPECT_FALSE(ParseYaml("a: [").ok());
}

TEST(MeshctlOutput, ColumnsAlignAndEmptyCellsShow) {
  Table table({"A", "LONG"});
  table.Add({"wide cell", ""});
  EXPECT_EQ(table.Text(), "A           LONG\nwide cell   -\n");
}

}  // namespace
}  // namespace mesh::meshctl
