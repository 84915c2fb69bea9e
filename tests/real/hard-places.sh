#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# hard-places.c in each place, one after the other; a place that cannot be made here is skipped, with a line that says so.
# shellcheck source=real.sh
. "$P11_SOURCE/tests/real/real.sh"

program hard-places
work_folder
softhsm_token demo
real_library
cd "$WORK" || exit 1
expected_signature

places=${*:-mdwe seccomp no-proc closed}
skipped=0
for place in $places; do
	ours "$PROGRAM" "$place"
	case $? in
	0) step "$place" ;;
	77) skipped=$((skipped + 1)) ;;
	*) fail "$place" ;;
	esac
done
[ "$skipped" -lt "$(echo "$places" | wc -w)" ] || exit 77
