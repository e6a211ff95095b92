#include "ztunnel/base/http/server.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>

#include "ztunnel/base/unique_fd.h"

namespace mesh::base {
namespace {

std::string Ask(const std::string& path, const std::string& request) {
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
  if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0)
    return "no server";
  EXPECT_EQ(::send(fd.get(), request.data(), request.size(), 0),
            static_cast<ssize_t>(request.size()));
  std::string answer;
  char buffer[4096];
  for (ssize_t n; (n = ::recv(fd.get(), buffer, sizeof(buffer), 0)) > 0;)
    answer.append(buffer, static_cast<size_t>(n));
  return answer;
}

TEST(HttpServer, AnswersOnAUnixSocketAndRemovesIt) {
  char dir[] = "/tmp/mesh-http-XXXXXX";
  ASSERT_NE(::mkdtemp(dir), nullptr);
  const std::string path = std::string(dir) + "/s.sock";
  {
    auto server = HttpServer::Listen(
        path,
        Routes({{"GET", "/healthz", [](const HttpRequest&) { return HttpResponse{.body = "ok"}; }},
                {"POST", "/cmdadd",
                 [](const HttpRequest& request) {
                   return HttpResponse{.status = 503, .body = "no " + request.body};
                 }}}),
        {});
    ASSERT_TRUE(server.ok()) << server.status();
    struct stat info = {};
    ASSERT_EQ(::stat(path.c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777, 0600u);
    const std::string get =
        Ask(path, "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    EXPECT_NE(get.find("200"), std::string::npos) << get;
    EXPECT_NE(get.find("\r\n\r\nok"), std::string::npos) << get;
    const std::string post = Ask(
        path,
        "POST /cmdadd HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 3\r\n\r\npod");
    EXPECT_NE(post.find("503"), std::string::npos) << post;
    EXPECT_NE(post.find("no pod"), std::string::npos) << post;
    // A POST that tells of no body is not waited for.
    const std::string empty = Ask(path, "POST /cmdadd HTTP/1.1\r\nHost: x\r\n\r\n");
    EXPECT_TRUE(empty.ends_with("\r\n\r\nno ")) << empty;
    EXPECT_NE(Ask(path, "POST /healthz HTTP/1.1\r\nHost: x\r\n\r\n").find(" 405 "),
              std::string::npos);
    EXPECT_NE(Ask(path, "GET /else HTTP/1.1\r\nHost: x\r\n\r\n").find(" 404 "), std::string::npos);
  }
  EXPECT_NE(::access(path.c_str(), F_OK), 0);
  ::rmdir(dir);
}

TEST(HttpServer, ListensOnAnyPort) {
  auto server = HttpServer::Listen("127.0.0.1:0", Routes({}), {});
  ASSERT_TRUE(server.ok()) << server.status();
  EXPECT_GT((*server)->port(), 0);
  EXPECT_FALSE(HttpServer::Listen("nowhere", Routes({}), {}).ok());
}

}  // namespace
}  // namespace mesh::base
