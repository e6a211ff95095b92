#include "tools/meshctl/dns/stream.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>

namespace mesh::local {
namespace {

base::Task<bool> ReadExact(WaitedFd& socket, std::string& into, absl::Time deadline) {
  size_t done = 0;
  while (done < into.size()) {
    socket.Arm();
    const ssize_t n = ::recv(socket.fd(), into.data() + done, into.size() - done, 0);
    if (n > 0) {
      done += static_cast<size_t>(n);
      continue;
    }
    if (n == 0 || errno != EAGAIN) co_return false;
    const bool woken = co_await socket.UntilReady(deadline);
    if (!woken) co_return false;
  }
  co_return true;
}

}  // namespace

WaitedFd::WaitedFd(base::EventLoop& loop, UniqueFd fd)
    : loop_(loop), fd_(std::move(fd)), ready_(loop) {
  if (!loop_.Add(fd_.get(), EPOLLIN | EPOLLOUT | EPOLLRDHUP, *this).ok()) fd_.Reset();
}

WaitedFd::~WaitedFd() { loop_.Remove(fd_.get(), *this); }

base::Task<std::string> ReadMessage(WaitedFd& socket, absl::Time deadline) {
  std::string length(2, '\0');
  const bool have_length = co_await ReadExact(socket, length, deadline);
  if (!have_length) co_return std::string();
  const size_t size =
      static_cast<size_t>(static_cast<uint8_t>(length[0]) << 8 | static_cast<uint8_t>(length[1]));
  std::string message(size, '\0');
  const bool have_message = co_await ReadExact(socket, message, deadline);
  if (!have_message) co_return std::string();
  co_return message;
}

base::Task<bool> WriteMessage(WaitedFd& socket, std::string message, absl::Time deadline) {
  std::string framed;
  framed.push_back(static_cast<char>(message.size() >> 8));
  framed.push_back(static_cast<char>(message.size()));
  framed += message;
  size_t done = 0;
  while (done < framed.size()) {
    socket.Arm();
    const ssize_t n = ::send(socket.fd(), framed.data() + done, framed.size() - done, MSG_NOSIGNAL);
    if (n >= 0) {
      done += static_cast<size_t>(n);
      continue;
    }
    if (errno != EAGAIN) co_return false;
    const bool woken = co_await socket.UntilReady(deadline);
    if (!woken) co_return false;
  }
  co_return true;
}

}  // namespace mesh::local
