// The settings in force, in the form of the dump's "config".
#pragma once

#include "ztunnel/admin/json_writer.h"
#include "ztunnel/cmd/settings.h"

namespace mesh::cmd {

void WriteConfig(admin::JsonWriter& json, const Settings& settings);

}  // namespace mesh::cmd
