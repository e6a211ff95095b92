#include "ztunnel/waypoint/transport/socket_transport.h"

namespace mesh::transport {
namespace {

constexpr size_t kReadBytes = 128 << 10;
constexpr size_t kKeep = 4 << 10;

}  // namespace

SocketTransport::SocketTransport(base::EventLoop& loop, net::SharedBuffers& buffers,
                                 net::Socket socket)
    : loop_(loop), buffers_(buffers), socket_(std::move(socket)) {}

SocketTransport::~SocketTransport() {
  if (!closed_) {
    if (events_ != nullptr) loop_.Remove(socket_.fd(), *this);
    if (!(shut_ && peer_ended_)) socket_.Reset();
  }
  loop_.CancelFlush(*this);
  loop_.CancelDefer(*this);
}

void SocketTransport::Start(Events& events) {
  events_ = &events;
  if (!loop_.Add(socket_.fd(), EPOLLIN | EPOLLOUT | EPOLLRDHUP, *this).ok()) {
    socket_.Reset();
    Close(false);
    return;
  }
  if (!unsent_.empty() || end_wanted_) loop_.RequestFlush(*this);
}

size_t SocketTransport::Room() const {
  if (closed_ || end_wanted_) return 0;
  return unsent_.size() >= kMaxUnsent ? 0 : kMaxUnsent - unsent_.size();
}

void SocketTransport::Write(std::span<const std::byte> bytes) {
  if (closed_ || end_wanted_ || bytes.empty()) return;
  unsent_.Append(bytes);
  was_full_ = was_full_ || Room() == 0;
  if (!blocked_ && events_ != nullptr) loop_.RequestFlush(*this);
}

void SocketTransport::End() {
  if (closed_ || end_wanted_) return;
  end_wanted_ = true;
  if (!blocked_ && events_ != nullptr) loop_.RequestFlush(*this);
}

void SocketTransport::Consumed(size_t bytes) {
  const bool full = held_ >= kMaxHeld;
  held_ -= std::min(bytes, held_);
  if (full && held_ < kMaxHeld && readable_ && !closed_) loop_.Defer(*this);
}

void SocketTransport::Reset() {
  if (closed_) return;
  loop_.Remove(socket_.fd(), *this);
  socket_.Reset();
  Close(false);
}

void SocketTransport::OnEvents(uint32_t events) {
  if ((events & EPOLLOUT) != 0 && blocked_) {
    blocked_ = false;
    loop_.RequestFlush(*this);
  }
  if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) {
    readable_ = true;
    Read();
  }
}

void SocketTransport::Read() {
  while (readable_ && !closed_ && !peer_ended_ && held_ < kMaxHeld) {
    const std::span<std::byte> space = buffers_.wire_in.Reserve(kReadBytes).first(kReadBytes);
    const net::IoResult read = socket_.Read(space);
    switch (read.kind) {
      case net::IoResult::Kind::kBlocked:
        readable_ = false;
        return;
      case net::IoResult::Kind::kEnd:
        readable_ = false;
        peer_ended_ = true;
        events_->OnEnd();
        if (shut_ && !closed_) {
          loop_.Remove(socket_.fd(), *this);
          socket_.Close();
          Close(true);
        }
        return;
      case net::IoResult::Kind::kError:
        Reset();
        return;
      case net::IoResult::Kind::kDone:
        held_ += read.bytes;
        events_->OnBytes(space.first(read.bytes));
        break;
    }
  }
}

void SocketTransport::Flush() {
  if (closed_ || blocked_) return;
  if (!unsent_.empty()) {
    const net::IoResult written = socket_.Write(unsent_.data());
    if (written.kind == net::IoResult::Kind::kError) {
      Reset();
      return;
    }
    if (written.kind == net::IoResult::Kind::kDone) unsent_.Consume(written.bytes);
    blocked_ = !unsent_.empty();
  }
  if (was_full_ && unsent_.size() < kMaxUnsent / 2) loop_.Defer(*this);
  if (!unsent_.empty()) return;
  if (unsent_.capacity() > kKeep) unsent_.Free();
  if (!end_wanted_ || shut_) return;
  shut_ = true;
  socket_.ShutdownWrite();
  if (!peer_ended_) return;
  loop_.Remove(socket_.fd(), *this);
  socket_.Close();
  Close(true);
}

void SocketTransport::Close(bool clean) {
  closed_ = true;
  clean_ = clean;
  if (events_ != nullptr) loop_.Defer(*this);
}

void SocketTransport::RunDeferred() {
  if (closed_) {
    if (closed_told_) return;
    closed_told_ = true;
    events_->OnClosed(clean_);  // may queue the destruction of this object; nothing follows
    return;
  }
  if (was_full_ && unsent_.size() < kMaxUnsent / 2) {
    was_full_ = false;
    events_->OnRoom();
    if (closed_) return;
  }
  Read();
}

}  // namespace mesh::transport
