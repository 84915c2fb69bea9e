/* SPDX-License-Identifier: BSD-3-Clause */
/* The matrix as the tables of docs/containment.md; head.md is what stands above them. */
#ifndef P11_TEST_CONTAINMENT_TABLE_H
#define P11_TEST_CONTAINMENT_TABLE_H

#include "containment.h"

void table_write(const char *path, const struct cell *cells, unsigned n_cells);

#endif
