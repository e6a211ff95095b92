// The server of the proxies' pages.
#pragma once

#include "ztunnel/base/http/server.h"

namespace mesh::admin {

using base::HttpHandler;
using base::HttpRequest;
using base::HttpResponse;
using base::HttpServer;

}  // namespace mesh::admin
