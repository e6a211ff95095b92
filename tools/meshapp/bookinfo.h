// The four services of Istio's well-known Bookinfo sample, by their routes and the shape of their
// answers, so that manifests and tutorials written for it work with this program in every place:
//   productpage  GET / /productpage (HTML), /api/v1/products[/ID[/reviews|/ratings]]
//   details      GET /details/ID         reviews  GET /reviews/ID (v1 no stars, v2 black, v3 red)
//   ratings      GET /ratings/ID         all      GET /health
// As there, the page is 200 and shows an error in the part whose service did not answer.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tools/meshapp/service.h"

namespace mesh::meshapp {

class Bookinfo : public App {
 public:
  enum class Role { kProductpage, kDetails, kReviews, kRatings };
  struct Options {
    Role role = Role::kProductpage;
    std::string version = "v1";
    std::string pod;
    HostPort details{"details", "9080"};
    HostPort reviews{"reviews", "9080"};
    HostPort ratings{"ratings", "9080"};
    bool with_ratings = true;  // of reviews
    std::string star_color = "black";
  };
  static std::optional<Role> RoleOf(std::string_view name);
  static std::string_view NameOf(Role role);

  explicit Bookinfo(Options options) : options_(std::move(options)) {}
  std::vector<Call> CallsFor(const Request& request) const override;
  Response Compose(const Request& request, const std::vector<CallResult>& results) const override;

 private:
  Response Productpage(const Request& request, const std::vector<CallResult>& results) const;
  Response Reviews(const Request& request, const std::string& id,
                   const std::vector<CallResult>& results) const;
  Response Json(const Request& request, const std::string& members) const;
  Response NotFoundJson(const Request& request) const;

  const Options options_;
};

}  // namespace mesh::meshapp
