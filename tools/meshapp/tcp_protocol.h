// Plain TCP servers: echo, greet-then-echo, sink (reads to the end, then says how many bytes),
// source.
#pragma once

#include "tools/meshapp/connection.h"

namespace mesh::meshapp {

// Sends back what it gets; ends when the peer has ended. With a greeting, speaks first.
class EchoProtocol : public Protocol {
 public:
  EchoProtocol(Connection& connection, std::string greeting)
      : connection_(connection), greeting_(std::move(greeting)) {}
  void OnOpen() override {
    if (!greeting_.empty()) connection_.Write(greeting_);
  }
  size_t OnData(std::string_view in) override {
    connection_.Write(in);
    return in.size();
  }
  void OnPeerEnd() override { connection_.FinishWriting(); }
  void Drain() override { connection_.FinishWriting(); }

 private:
  Connection& connection_;
  const std::string greeting_;
};

class SinkProtocol : public Protocol {
 public:
  explicit SinkProtocol(Connection& connection) : connection_(connection) {}
  size_t OnData(std::string_view in) override {
    received_bytes_ += in.size();
    return in.size();
  }
  void OnPeerEnd() override {
    connection_.Write(std::to_string(received_bytes_) + "\n");
    connection_.FinishWriting();
  }
  void Drain() override { connection_.FinishWriting(); }

 private:
  Connection& connection_;
  uint64_t received_bytes_ = 0;
};

// Sends for as long as the peer reads.
class SourceProtocol : public Protocol {
 public:
  explicit SourceProtocol(Connection& connection)
      : connection_(connection), block_(Connection::kLowMark, 's') {}
  void OnOpen() override { connection_.Write(block_); }
  size_t OnData(std::string_view in) override { return in.size(); }
  void OnDrained() override { connection_.Write(block_); }
  void OnPeerEnd() override { connection_.CloseWhenSent(); }
  void Drain() override { connection_.FinishWriting(); }

 private:
  Connection& connection_;
  const std::string block_;
};

}  // namespace mesh::meshapp
