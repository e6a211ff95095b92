#include "ztunnel/base/dns/message.h"

#include <gtest/gtest.h>

namespace mesh::dns {
namespace {

Bytes AsBytes(const std::string& text) { return std::as_bytes(std::span(text)); }

std::string Name(std::string_view name) {
  std::string out;
  while (!name.empty()) {
    const size_t dot = std::min(name.find('.'), name.size());
    out.push_back(static_cast<char>(dot));
    out += name.substr(0, dot);
    name.remove_prefix(std::min(dot + 1, name.size()));
  }
  return out + '\0';
}

std::string Ask(std::string_view name, uint16_t type, std::optional<uint16_t> edns = std::nullopt) {
  using namespace std::string_literals;
  std::string out = "\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00"s;
  out.push_back(edns ? 1 : 0);
  out += Name(name);
  out.push_back(static_cast<char>(type >> 8));
  out.push_back(static_cast<char>(type));
  out += "\x00\x01"s;
  if (edns) {
    out += "\x00\x00\x29"s;
    out.push_back(static_cast<char>(*edns >> 8));
    out.push_back(static_cast<char>(*edns));
    out += "\x00\x00\x00\x00\x00\x00"s;
  }
  return out;
}

TEST(DnsMessage, ReadsAQuery) {
  const std::string message = Ask("Reviews.Shop", kTypeA, 1400);
  const auto query = ParseQuery(AsBytes(message));
  ASSERT_TRUE(query.ok()) << query.status();
  EXPECT_EQ(query->id, 0x1234);
  EXPECT_EQ(query->name, "reviews.shop");
  EXPECT_TRUE(query->plain);
  EXPECT_TRUE(query->recursion_desired);
  EXPECT_EQ(query->type, kTypeA);
  EXPECT_EQ(query->UdpLimit(), 1400u);
}

TEST(DnsMessage, RefusesWhatIsMalformed) {
  const std::string good = Ask("a.b", kTypeA, 512);
  for (size_t n = 0; n < good.size(); ++n) {
    EXPECT_FALSE(ParseQuery(AsBytes(good.substr(0, n))).ok()) << n;
  }
  std::string compressed = Ask("a", kTypeA);
  compressed[12] = static_cast<char>(0xc0);
  EXPECT_FALSE(ParseQuery(AsBytes(compressed)).ok());
  std::string response = Ask("a", kTypeA);
  response[2] = static_cast<char>(0x81);
  EXPECT_FALSE(ParseQuery(AsBytes(response)).ok());
  EXPECT_FALSE(BuildFormatError(AsBytes(response)).has_value());
  std::string two = Ask("a", kTypeA);
  two[5] = 2;
  EXPECT_FALSE(ParseQuery(AsBytes(two)).ok());
  const auto error = BuildFormatError(AsBytes(two));
  ASSERT_TRUE(error.has_value());
  EXPECT_EQ((*error)[3] & 0xf, 1);
  std::string long_name;
  for (int i = 0; i < 130; ++i) long_name += i ? ".a" : "a";
  EXPECT_FALSE(ParseQuery(AsBytes(Ask(long_name, kTypeA))).ok());
}

TEST(DnsMessage, ALabelWithADotInsideIsNoPlainName) {
  std::string message = Ask("axb.c", kTypeA);
  message[14] = '.';
  const auto query = ParseQuery(AsBytes(message));
  ASSERT_TRUE(query.ok());
  EXPECT_FALSE(query->plain);
}

TEST(DnsMessage, AnswersWithCnameAndAddresses) {
  const std::string message = Ask("web.x", kTypeA);
  const auto query = ParseQuery(AsBytes(message));
  const std::string reply =
      BuildAnswer(AsBytes(message), *query,
                  {.authoritative = true,
                   .cname = "web.shop",
                   .addresses = {*IpAddress::Parse("10.0.0.1"), *IpAddress::Parse("fd00::1")}},
                  512);
  using namespace std::string_literals;
  const std::string expected =
      "\x12\x34\x85\x80\x00\x01\x00\x02\x00\x00\x00\x00"s + Name("web.x") + "\x00\x01\x00\x01"s +
      "\xc0\x0c\x00\x05\x00\x01\x00\x00\x00\x1e\x00\x0a"s + Name("web.shop") +
      "\xc0\x23\x00\x01\x00\x01\x00\x00\x00\x1e\x00\x04\x0a\x00\x00\x01"s;
  EXPECT_EQ(reply, expected);
}

TEST(DnsMessage, WhatDoesNotFitSetsTheTruncationBit) {
  for (const bool edns : {false, true}) {
    const std::string message =
        Ask("many", kTypeA, edns ? std::optional<uint16_t>(512) : std::nullopt);
    const auto query = ParseQuery(AsBytes(message));
    Answer answer;
    for (uint32_t i = 0; i < 100; ++i) answer.addresses.push_back(IpAddress::V4(i));
    const std::string cut = BuildAnswer(AsBytes(message), *query, answer, query->UdpLimit());
    EXPECT_LE(cut.size(), 512u);
    EXPECT_TRUE(cut[2] & 0x02);
    const std::string whole = BuildAnswer(AsBytes(message), *query, answer, kMaxTcpBytes);
    EXPECT_FALSE(whole[2] & 0x02);
    EXPECT_EQ(static_cast<uint8_t>(whole[7]), 100);
  }
}

TEST(DnsMessage, OnlyTheAnswerToTheQuestionIsTaken) {
  const std::string request = Ask("a.b", kTypeA);
  const auto query = ParseQuery(AsBytes(request));
  std::string response = request;
  EXPECT_FALSE(Answers(AsBytes(response), AsBytes(request), *query));  // still a query
  response[2] = static_cast<char>(0x81);
  EXPECT_TRUE(Answers(AsBytes(response), AsBytes(request), *query));
  std::string upper = response;
  upper[13] = 'A';
  EXPECT_TRUE(Answers(AsBytes(upper), AsBytes(request), *query));
  std::string other_id = response;
  other_id[0] = 0;
  EXPECT_FALSE(Answers(AsBytes(other_id), AsBytes(request), *query));
  std::string other_name = response;
  other_name[13] = 'z';
  EXPECT_FALSE(Answers(AsBytes(other_name), AsBytes(request), *query));
}

TEST(DnsMessage, AnErrorMayLeaveOutTheQuestion) {
  using namespace std::string_literals;
  const std::string request = Ask("a.b", kTypeA);
  const auto query = ParseQuery(AsBytes(request));
  const std::string opt = "\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00"s;
  for (const std::string& rest : {""s, opt}) {
    std::string refused = request.substr(0, 2) + "\x81\x85\x00\x00\x00\x00\x00\x00\x00"s +
                          static_cast<char>(rest.empty() ? 0 : 1) + rest;
    EXPECT_TRUE(Answers(AsBytes(refused), AsBytes(request), *query));
    std::string answers = refused;
    answers[7] = 1;
    EXPECT_FALSE(Answers(AsBytes(answers), AsBytes(request), *query));
    refused[3] = static_cast<char>(0x80);  // no error
    EXPECT_FALSE(Answers(AsBytes(refused), AsBytes(request), *query));
  }
}

}  // namespace
}  // namespace mesh::dns
