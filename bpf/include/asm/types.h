/* SPDX-License-Identifier: GPL-2.0-only */
/* The BPF target has no architecture folder; the generic types are the right ones. */
#pragma once
#include <asm-generic/types.h>
