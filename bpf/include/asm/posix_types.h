/* SPDX-License-Identifier: GPL-2.0-only */
/* As types.h. */
#pragma once

#include <asm-generic/posix_types.h>
