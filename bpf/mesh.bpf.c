// SPDX-License-Identifier: GPL-2.0-only
/*
 * Everything a node loads, as one object: loaded whole or not at all, with one set of maps.
 */
#include "bpf/prog/connect.bpf.c"
#include "bpf/prog/sockops.bpf.c"
#include "bpf/prog/lookup.bpf.c"

char LICENSE[] SEC("license") = "GPL";
