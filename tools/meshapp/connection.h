// One accepted TCP connection: bytes in to a Protocol, bytes out through a bounded buffer.
//
// Owner: Server. Thread: the loop's. Output is written at the end of the turn in which it was
// produced, in one send. While more than kHighMark bytes wait for the peer, reading stops: a client
// that does not read is not read from. TCP_NODELAY always.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "tools/meshapp/loop.h"
#include "ztunnel/base/ip.h"

namespace mesh::meshapp {

class Connection;

// What speaks on a connection. It may be replaced (HTTP/1 becomes HTTP/2) from within OnData.
class Protocol {
 public:
  virtual ~Protocol() = default;
  virtual void OnOpen() {}
  // Takes what it can use and returns how much; the rest comes again with the next bytes.
  virtual size_t OnData(std::string_view in) = 0;
  virtual void OnPeerEnd() = 0;  // FIN: nothing more comes in
  virtual void OnDrained() {}    // the output buffer is below the low mark again
  virtual void Drain() = 0;      // the program wants to end: finish what is open, take nothing new
};

class Connection : public Loop::Handler {
 public:
  static constexpr size_t kHighMark = 1 << 20;
  static constexpr size_t kLowMark = 256 << 10;
  static constexpr std::chrono::milliseconds kEndGrace{10'000};  // for the peer's FIN after ours
  static constexpr size_t kMaxUnread = 1 << 20;                  // what a protocol may leave unread

  Connection(Loop& loop, UniqueFd fd, SocketAddress peer,
             std::function<void(Connection*)> on_closed);
  ~Connection() override;
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  void Start(std::unique_ptr<Protocol> protocol);
  void ReplaceProtocol(std::unique_ptr<Protocol> protocol);  // from within OnData
  // Gives unread input to the protocol again (it was waiting for an answer of its own).
  void Resume();

  void Write(std::string_view bytes);
  void FinishWriting();  // sends what waits, then FIN; closes once the peer has ended too
  void CloseWhenSent();  // sends what waits, then closes, whatever the peer does
  void Abort();          // RST

  size_t unsent_bytes() const { return out_.size() - sent_; }
  bool peer_ended() const { return peer_ended_; }
  const SocketAddress& peer() const { return peer_; }
  Loop& loop() { return loop_; }
  Protocol* protocol() { return protocol_.get(); }
  // Expires with the connection; for answers that come later.
  std::weak_ptr<void> alive() const { return alive_; }

  void OnEvents(uint32_t events) override;

 private:
  void Read();
  void Deliver();
  void Flush();
  void UpdateInterest();
  void Close();

  Loop& loop_;
  UniqueFd fd_;
  SocketAddress peer_;
  std::function<void(Connection*)> on_closed_;
  std::unique_ptr<Protocol> protocol_;
  std::unique_ptr<Protocol> replaced_;  // kept until the callback that replaced it returned
  std::shared_ptr<void> alive_;
  std::string in_;
  std::string out_;
  size_t sent_ = 0;
  uint32_t interest_ = 0;
  bool peer_ended_ = false;
  bool end_delivered_ = false;
  bool was_full_ = false;
  bool finish_ = false;  // FIN after the output
  bool fin_sent_ = false;
  bool close_ = false;  // close after the output
  bool flush_asked_ = false;
};

}  // namespace mesh::meshapp
