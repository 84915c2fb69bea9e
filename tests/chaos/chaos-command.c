/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Control strings: what a test says to the chaos module under a program that it cannot change, by
 * the environment or by the `x-init-reserved` of a configuration file. Statements end with `;` or a
 * line feed:
 *
 *	slots=3; handles=heap; C_Sign: rv=CKR_DEVICE_ERROR, skip=2, times=1
 */
#include "chaos-inside.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MAX_WORD 128

/* Takes the text up to one of `stops` without the white space around it, and the stop itself. False
 * if it is too long. */
static bool
take(const char **text, const char *stops, char word[MAX_WORD])
{
	const char *start = *text + strspn(*text, " \t\r");
	size_t length = strcspn(start, stops);

	*text = start + length + (start[length] != '\0');
	while (length > 0 && strchr(" \t\r", start[length - 1]))
		length--;
	if (length >= MAX_WORD)
		return false;
	memcpy(word, start, length);
	word[length] = '\0';
	return true;
}

static bool
number(const char *text, uint64_t *out)
{
	char *end;

	if (!*text)
		return false;
	errno = 0;
	*out = strtoull(text, &end, 0);
	return !*end && !errno;
}

static bool
choice(const char *text, const char *const *words, unsigned n, _Atomic(unsigned) *out)
{
	for (unsigned i = 0; i < n; i++) {
		if (!strcmp(text, words[i])) {
			*out = i;
			return true;
		}
	}
	return false;
}

static bool
yes_or_no(const char *text, _Atomic(bool) *out)
{
	*out = !strcmp(text, "yes");
	return *out || !strcmp(text, "no");
}

static bool
rv_by_name(const char *text, unsigned long *out)
{
	for (const struct chaos_name *row = chaos_ckr_names; row->name; row++) {
		if (!strcmp(row->name, text)) {
			*out = row->value;
			return true;
		}
	}
	uint64_t value;
	if (!number(text, &value))
		return false;
	*out = (unsigned long)value;
	return true;
}

static bool
fault_flag(const char *word, struct chaos_fault *fault)
{
	if (!strcmp(word, "hang"))
		return fault->hang = true;
	if (!strcmp(word, "abort"))
		return fault->abort = true;
	if (!strcmp(word, "drop"))
		return fault->drop = true;
	if (!strcmp(word, "late"))
		return fault->late = true;
	return false;
}

/* One word of a fault: `hang` or `sleep=1000`. */
static bool
fault_word(char *word, struct chaos_fault *fault)
{
	char *value = strchr(word, '=');
	uint64_t n;

	if (!value)
		return fault_flag(word, fault);
	*value++ = '\0';
	if (!strcmp(word, "rv"))
		return rv_by_name(value, &fault->rv);
	if (!strcmp(word, "fork")) {
		fault->fork =
			!strcmp(value, "both") ? CHAOS_FORK_BOTH_RETURN : CHAOS_FORK_CHILD_EXITS;
		return !strcmp(value, "both") || !strcmp(value, "exit");
	}
	if (!number(value, &n))
		return false;
	if (!strcmp(word, "sleep"))
		fault->sleep_ms = (unsigned)n;
	else if (!strcmp(word, "skip"))
		fault->skip = (unsigned)n;
	else if (!strcmp(word, "times"))
		fault->times = (unsigned)n;
	else if (!strcmp(word, "over"))
		fault->over = (unsigned long)n;
	else if (!strcmp(word, "slot"))
		fault->slot = n, fault->on_slot = true;
	else
		return false;
	return true;
}

/* `C_Sign: hang, skip=1`, `*: rv=CKR_DEVICE_ERROR`, `C_Sign: none`; the name is cut off already. */
static bool
fault_statement(const char *name, const char *words)
{
	enum chaos_call call = !strcmp(name, "*") ? CHAOS_ANY : chaos_call_by_name(name);
	struct chaos_fault fault = {0};
	char word[MAX_WORD];

	if (call == CHAOS_N_CALLS && strcmp(name, "*"))
		return false;
	if (!strcmp(words, "none")) {
		chaos.fault(call, NULL);
		return true;
	}
	while (*words) {
		if (!take(&words, ",", word) || !fault_word(word, &fault))
			return false;
	}
	chaos.fault(call, &fault);
	return true;
}

/* `slot-id=0:17`, `plug=2:no` */
static bool
slot_knob(const char *name, char *value)
{
	char *second = strchr(value, ':');
	uint64_t i, id;

	if (!second)
		return false;
	*second++ = '\0';
	if (!number(value, &i) || i >= CHAOS_MAX_SLOTS)
		return false;
	if (!strcmp(name, "slot-id")) {
		if (!number(second, &id))
			return false;
		chaos.slot_id((unsigned)i, id);
		return true;
	}
	if (strcmp(second, "yes") && strcmp(second, "no"))
		return false;
	if (!strcmp(name, "plug"))
		chaos.plug((unsigned)i, !strcmp(second, "yes"));
	else
		chaos.token((unsigned)i, !strcmp(second, "yes"));
	return true;
}

static bool
knob(const char *name, char *value)
{
	static const char *const handles[] = {"count", "reuse", "heap"};
	static const char *const lists[] = {"steady", "rotates", "grows", "flickers"};
	static const char *const forked[] = {"ignores", "notices"};
	uint64_t n;

	if (!strcmp(name, "handles"))
		return choice(value, handles, 3, &chaos.handles);
	if (!strcmp(name, "list"))
		return choice(value, lists, 4, &chaos.list);
	if (!strcmp(name, "forked"))
		return choice(value, forked, 2, &chaos.forked);
	if (!strcmp(name, "notify-on-open"))
		return yes_or_no(value, &chaos.notify_on_open);
	if (!strcmp(name, "no-events"))
		return yes_or_no(value, &chaos.no_events);
	if (!strcmp(name, "counting"))
		return yes_or_no(value, &chaos.counting);
	if (!strcmp(name, "slot-id") || !strcmp(name, "plug") || !strcmp(name, "token"))
		return slot_knob(name, value);

	if (!number(value, &n))
		return false;
	if (!strcmp(name, "slots") && n <= CHAOS_MAX_SLOTS)
		chaos.slots((unsigned)n);
	else if (!strcmp(name, "handle-base"))
		chaos.handle_base = n;
	else if (!strcmp(name, "next-handle"))
		chaos.next_handle = n;
	else if (!strcmp(name, "object-base"))
		chaos.object_base = n;
	else
		return false;
	return true;
}

static bool
statement(char *text)
{
	char *mark = text + strcspn(text, "=:");
	char kind = *mark;
	const char *name = text;
	char *value = mark + 1;

	if (!kind)
		return false;
	*mark = '\0';
	for (char *end = mark; end > text && strchr(" \t", end[-1]); end--)
		end[-1] = '\0';
	value += strspn(value, " \t");
	return kind == ':' ? fault_statement(name, value) : knob(name, value);
}

bool
chaos_command(const char *text)
{
	char line[MAX_WORD];

	while (*text) {
		if (!take(&text, ";\n", line))
			return false;
		if (*line && !statement(line))
			return false;
	}
	return true;
}
