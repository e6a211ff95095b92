// The control plane: objects to resources to clients, and certificates.
//
// One thread owns everything (Run); gRPC's and the HTTP server's threads post to it. Established
// traffic needs none of it: clients keep what they have.
#pragma once

#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include <memory>
#include <string>
#include <vector>

#include "agent/controller/model/settings.h"

namespace mesh::controller {

struct ControllerOptions {
  std::vector<std::string> source_directories;
  std::string record_directory;  // last good objects (object_record.h); empty: none are kept
  std::string status_directory;  // empty: no status is written
  // Where objects of its own making are written, which is to be among the sources; empty: it makes
  // none, whatever the settings say.
  std::string objects_directory;
  std::string xds_address = "127.0.0.1:15012";
  std::string http_address;  // empty: none
  std::string ca_directory;
  std::string root_cert_out;   // empty: not written
  std::string token_key_file;  // public key of node tokens
  // More names of the server's certificate.
  std::vector<std::string> xds_hosts;
  Settings settings;
  bool authenticate_xds = true;
  absl::Duration default_certificate_lifetime = absl::Hours(24);
  absl::Duration max_certificate_lifetime = absl::Hours(24 * 90);
  absl::Duration ca_lifetime = absl::Hours(24 * 3650);
};

class Controller {
 public:
  // Ready to serve when it returns: the sources are read and both ports are open. A source that
  // cannot tell all it holds is an error: what it leaves out would be taken for gone.
  static absl::StatusOr<std::unique_ptr<Controller>> Start(ControllerOptions options);
  ~Controller();

  int xds_port() const;
  int http_port() const;  // 0: none

  // Until `stop_fd` is readable.
  void Run(int stop_fd);

 private:
  class Impl;
  explicit Controller(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// Start and Run until SIGTERM or SIGINT; the exit code.
int RunController(const ControllerOptions& options);

}  // namespace mesh::controller
