#include "tools/meshapp/bookinfo.h"

#include "tools/meshapp/text.h"
#include "ztunnel/base/status.h"

namespace mesh::meshapp {
namespace {

constexpr std::string_view kNames[] = {"productpage", "details", "reviews", "ratings"};
constexpr std::string_view kProduct =
    R"("id":0,"title":"The Comedy of Errors","descriptionHtml":"<a href=\"https://en.wikipedia.org/wiki/The_Comedy_of_Errors\">One of Shakespeare's first plays</a>: two pairs of twins, one town, a day of mistaken identity.")";

// "12" of "/reviews/12"; nullopt when the path is another or the id is no number.
std::optional<std::string> IdAfter(std::string_view path, std::string_view prefix) {
  if (!path.starts_with(prefix)) return std::nullopt;
  const std::string_view id = path.substr(prefix.size());
  if (!ParseNumber(id)) return std::nullopt;
  return std::string(id);
}

// `text` as HTML text.
std::string Html(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '<')
      out += "&lt;";
    else if (c == '>')
      out += "&gt;";
    else if (c == '&')
      out += "&amp;";
    else
      out += c;
  }
  return out;
}

std::string Section(std::string_view title, const CallResult* result) {
  if (result == nullptr || result->status != 200) {
    const std::string why = result == nullptr     ? "not asked"
                            : result->status == 0 ? result->body
                                                  : fmt::format("status {}", result->status);
    return fmt::format("<h2>{}</h2>\n<p class=\"error\">Error fetching product {}! ({})</p>\n",
                       title, Lower(title), Html(why));
  }
  return fmt::format("<h2>{}</h2>\n<pre>{}</pre>\n", title, Html(result->body));
}

}  // namespace

std::optional<Bookinfo::Role> Bookinfo::RoleOf(std::string_view name) {
  for (size_t i = 0; i < std::size(kNames); ++i) {
    if (kNames[i] == name) return static_cast<Role>(i);
  }
  return std::nullopt;
}

std::string_view Bookinfo::NameOf(Role role) { return kNames[static_cast<size_t>(role)]; }

std::vector<Call> Bookinfo::CallsFor(const Request& request) const {
  if (options_.role == Role::kReviews) {
    const auto id = IdAfter(request.path, "/reviews/");
    if (!id || !options_.with_ratings) return {};
    return {{options_.ratings, "/ratings/" + *id}};
  }
  if (options_.role != Role::kProductpage) return {};
  if (request.path == "/productpage")
    return {{options_.details, "/details/0"}, {options_.reviews, "/reviews/0"}};
  constexpr std::string_view kProducts = "/api/v1/products/";
  if (!request.path.starts_with(kProducts)) return {};
  const std::vector<std::string> parts =
      Split(std::string_view(request.path).substr(kProducts.size()), '/');
  if (parts.empty() || !ParseNumber(parts[0])) return {};
  if (parts.size() == 1) {
    return {{options_.details, "/details/" + parts[0]}, {options_.reviews, "/reviews/" + parts[0]}};
  }
  if (parts.size() == 2 && parts[1] == "reviews")
    return {{options_.reviews, "/reviews/" + parts[0]}};
  if (parts.size() == 2 && parts[1] == "ratings")
    return {{options_.ratings, "/ratings/" + parts[0]}};
  return {};
}

Response Bookinfo::Compose(const Request& request, const std::vector<CallResult>& results) const {
  if (request.path == "/health") {
    return Json(request, fmt::format(R"("status":"{} is healthy")", NameOf(options_.role)));
  }
  switch (options_.role) {
    case Role::kProductpage:
      return Productpage(request, results);
    case Role::kDetails: {
      const auto id = IdAfter(request.path, "/details/");
      if (!id) return NotFoundJson(request);
      return Json(
          request,
          fmt::format(R"("id":{},"author":"William Shakespeare","year":1595,"type":"paperback",)"
                      R"("pages":200,"publisher":"PublisherA","language":"English",)"
                      R"("ISBN-10":"1234567890","ISBN-13":"123-1234567890")",
                      *id));
    }
    case Role::kRatings: {
      const auto id = IdAfter(request.path, "/ratings/");
      if (!id) return NotFoundJson(request);
      return Json(request,
                  fmt::format(R"("id":{},"ratings":{{"Reviewer1":5,"Reviewer2":4}})", *id));
    }
    case Role::kReviews: {
      const auto id = IdAfter(request.path, "/reviews/");
      if (!id) return NotFoundJson(request);
      return Reviews(request, *id, results);
    }
  }
  return NotFoundJson(request);
}

Response Bookinfo::Productpage(const Request& request,
                               const std::vector<CallResult>& results) const {
  if (request.path == "/" || request.path == "/index.html" || request.path == "/productpage") {
    Response response;
    response.content_type = "text/html; charset=utf-8";
    response.body =
        "<!doctype html>\n<title>Simple Bookstore App</title>\n<h1>The Comedy of Errors</h1>\n";
    if (request.path == "/productpage") {
      response.body += Section("Details", results.empty() ? nullptr : &results[0]);
      response.body += Section("Reviews", results.size() < 2 ? nullptr : &results[1]);
    } else {
      response.body += "<p><a href=\"/productpage\">The product's page</a></p>\n";
    }
    response.body +=
        fmt::format("<p>served by {} {}</p>\n", Html(options_.pod), Html(options_.version));
    return response;
  }
  if (request.path == "/api/v1/products") {
    return Json(request, fmt::format(R"("products":[{{{}}}])", kProduct));
  }
  if (results.empty()) return NotFoundJson(request);
  Response response =
      Json(request, std::string(kProduct) + ",\"upstreams\":" + ResultsJson(results));
  for (const CallResult& result : results) {
    if (result.status != 200) response.status = result.status == 0 ? 503 : result.status;
  }
  return response;
}

Response Bookinfo::Reviews(const Request& request, const std::string& id,
                           const std::vector<CallResult>& results) const {
  struct Review {
    std::string_view reviewer, text;
    int stars;
  };
  constexpr Review kReviews[] = {
      {"Reviewer1", "Laughed from the first scene to the last. The twins are a delight.", 5},
      {"Reviewer2", "Very funny, if lighter than the plays that came after it.", 4}};
  std::string list;
  for (const Review& review : kReviews) {
    if (!list.empty()) list += ',';
    list += fmt::format(R"({{"reviewer":"{}","text":"{}")", review.reviewer, review.text);
    if (options_.with_ratings) {
      list +=
          results.size() == 1 && results[0].status == 200
              ? fmt::format(R"(,"rating":{{"stars":{},"color":{}}})", review.stars,
                            JsonString(options_.star_color))
              : std::string(R"(,"rating":{"error":"Ratings service is currently unavailable"})");
    }
    list += '}';
  }
  std::string members =
      fmt::format(R"("id":"{}","podname":{},"reviews":[{}])", id, JsonString(options_.pod), list);
  if (!results.empty()) members += ",\"upstreams\":" + ResultsJson(results);
  return Json(request, members);
}

Response Bookinfo::Json(const Request& request, const std::string& members) const {
  Response response;
  response.body = "{" + members + "," +
                  DescribeJson(request, NameOf(options_.role), options_.version, options_.pod) +
                  "}\n";
  return response;
}

Response Bookinfo::NotFoundJson(const Request& request) const {
  Response response = Json(request, R"("error":"no such path")");
  response.status = 404;
  return response;
}

}  // namespace mesh::meshapp
