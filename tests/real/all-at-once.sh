#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# All programs that are named, at once and again and again for a minute, as on a machine with many users: each of the other tests
# of this folder, with a token of its own and the one installed library.
#
#	all-at-once.sh TEST...
# shellcheck source=real.sh
. "$P11_SOURCE/tests/real/real.sh"

work_folder
softhsm_token demo
real_library
END=$(($(date +%s) + 60))

# again TEST: until the minute is over, or it fails.
again() {
	n=0
	while [ "$n" = 0 ] || [ "$(date +%s)" -lt "$END" ]; do
		sh "$P11_SOURCE/tests/real/$1.sh" >"$WORK/$1.log" 2>&1
		status=$?
		[ "$status" = 0 ] || break
		n=$((n + 1))
	done
	echo "$status $n" >"$WORK/$1.end"
}
for test; do
	again "$test" &
done
wait

for test; do
	read -r status n <"$WORK/$test.end" || fail "$test has not come to an end"
	case $status in
	0) step "$test: $n times" ;;
	77) echo "$test: $(cat "$WORK/$test.log")" ;;
	*) fail "$test, after $n times: $(cat "$WORK/$test.log")" ;;
	esac
	[ "$status" = 0 ] && any=yes
done
[ "$any" = yes ] || skip "no program is there"
