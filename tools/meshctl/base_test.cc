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
