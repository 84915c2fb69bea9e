#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
#
# Lets libFuzzer work on one target for some seconds, with input of at most so many bytes, from the seeds and from what
# earlier runs of this build found.
#
#   run.sh PROGRAM SEEDS FOUND SECONDS BYTES
#
# An input that breaks a property is left in FOUND/broken/, and printed. Make it smaller with `PROGRAM -minimize_crash=1
# FILE`, mend what it shows, and put it into SEEDS under a name that tells the bug.

set -u
program=$1 seeds=$2 found=$3 seconds=$4 bytes=$5

mkdir -p "$found/inputs" "$found/broken" || exit 1
exec "$program" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len="$bytes" -print_final_stats=1 \
	-artifact_prefix="$found/broken/" "$found/inputs" "$seeds"
