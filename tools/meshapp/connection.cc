#include "tools/meshapp/connection.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>

namespace mesh::meshapp {
namespace {

// One for all connections of a thread: bytes are appended to `in_` only when the protocol leaves
// some.
constexpr size_t kReadBytes = 256 << 10;
char* ReadBuffer() {
  thread_local std::unique_ptr<char[]> buffer(new char[kReadBytes]);
  return buffer.get();
}

}  // namespace

Connection::Connection(Loop& loop, UniqueFd fd, SocketAddress peer,
                       std::function<void(Connection*)> on_closed)
    : loop_(loop),
      fd_(std::move(fd)),
      peer_(peer),
      on_closed_(std::move(on_closed)),
      alive_(std::make_shared<char>()) {
  const int on = 1;
  ::setsockopt(fd_.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

Connection::~Connection() {
  if (fd_) loop_.Remove(fd_.get());
}

void Connection::Start(std::unique_ptr<Protocol> protocol) {
  protocol_ = std::move(protocol);
  interest_ = EPOLLIN | EPOLLRDHUP;
  loop_.Add(fd_.get(), interest_, *this);
  protocol_->OnOpen();
}

void Connection::ReplaceProtocol(std::unique_ptr<Protocol> protocol) {
  replaced_ = std::move(protocol_);
  protocol_ = std::move(protocol);
}

void Connection::Resume() {
  if (!fd_) return;
  if (!in_.empty()) Deliver();
  if (fd_) UpdateInterest();
}

void Connection::Write(std::string_view bytes) {
  if (!fd_ || finish_ || close_) return;
  out_.append(bytes);
  if (flush_asked_) return;
  flush_asked_ = true;
  loop_.Defer([this, alive = alive()] {
    if (alive.expired()) return;
    flush_asked_ = false;
    Flush();
  });
}

void Connection::FinishWriting() {
  if (finish_) return;
  finish_ = true;
  if (!peer_ended_) {  // a peer that never ends does not keep the connection
    loop_.After(kEndGrace, [this, alive = alive()] {
      if (!alive.expired()) Abort();
    });
  }
  Flush();
}

void Connection::CloseWhenSent() {
  close_ = true;
  Flush();
}

void Connection::Abort() {
  if (!fd_) return;
  const linger now = {.l_onoff = 1, .l_linger = 0};
  ::setsockopt(fd_.get(), SOL_SOCKET, SO_LINGER, &now, sizeof(now));
  Close();
}

void Connection::OnEvents(uint32_t events) {
  if (!fd_) return;
  if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) Read();
  if (fd_ && (events & EPOLLOUT)) Flush();
}

void Connection::Read() {
  const ssize_t n = ::recv(fd_.get(), ReadBuffer(), kReadBytes, 0);
  if (n < 0) {
    if (errno == EAGAIN || errno == EINTR) return;
    return Close();
  }
  if (n == 0) {
    peer_ended_ = true;
    if (!end_delivered_) {
      end_delivered_ = true;
      protocol_->OnPeerEnd();
    }
    if (fd_) Flush();
    return;
  }
  const std::string_view bytes(ReadBuffer(), n);
  if (in_.empty()) {
    const size_t used = protocol_->OnData(bytes);
    replaced_.reset();
    in_.append(bytes.substr(used));
  } else {
    in_.append(bytes);
  }
  if (!in_.empty() && fd_) Deliver();
  if (fd_) UpdateInterest();
}

void Connection::Deliver() {
  while (fd_ && !in_.empty()) {
    const size_t used = protocol_->OnData(in_);
    const bool again = replaced_ != nullptr;
    replaced_.reset();
    in_.erase(0, used);
    if (used == 0 && !again) break;
  }
  if (in_.size() > kMaxUnread * 2) Abort();  // a protocol that never takes anything
}

void Connection::Flush() {
  if (!fd_) return;
  while (sent_ < out_.size()) {
    const ssize_t n = ::send(fd_.get(), out_.data() + sent_, out_.size() - sent_, MSG_NOSIGNAL);
    if (n < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN) break;
      return Close();
    }
    sent_ += n;
  }
  if (sent_ == out_.size()) {
    sent_ = 0;
    if (out_.capacity() > kLowMark * 2)
      std::string().swap(out_);
    else
      out_.clear();
  } else if (sent_ > kLowMark) {
    out_.erase(0, sent_);
    sent_ = 0;
  }
  if (unsent_bytes() == 0) {
    if (close_) return Close();
    if (finish_ && !fin_sent_) {
      fin_sent_ = true;
      ::shutdown(fd_.get(), SHUT_WR);
    }
    if (fin_sent_ && peer_ended_) return Close();
  }
  if (was_full_ && unsent_bytes() <= kLowMark) {
    was_full_ = false;
    if (!in_.empty()) Deliver();
  }
  if (fd_ && unsent_bytes() <= kLowMark && !finish_ && !close_) protocol_->OnDrained();
  if (fd_) UpdateInterest();
}

void Connection::UpdateInterest() {
  if (unsent_bytes() > kHighMark) was_full_ = true;
  uint32_t want = 0;
  if (!peer_ended_ && !was_full_ && in_.size() < kMaxUnread) want |= EPOLLIN | EPOLLRDHUP;
  if (unsent_bytes() > 0) want |= EPOLLOUT;
  if (want == interest_) return;
  interest_ = want;
  loop_.Modify(fd_.get(), want, *this);
}

void Connection::Close() {
  if (!fd_) return;
  loop_.Remove(fd_.get());
  fd_.Reset();
  alive_.reset();
  loop_.Defer([this] { on_closed_(this); });
}

}  // namespace mesh::meshapp
