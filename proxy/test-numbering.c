/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * proxy/numbering.h: a slot keeps its id for ever, and no id has two slots. What was numbered stays
 * for the life of the process, so each test runs in a child of its own.
 */
#include "proxy/numbering.h"

#include "base/intern.h"
#include "base/message.h"
#include "support/support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Ends the child. */
#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);            \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)

static CK_SLOT_ID
assign(const char *name, const CK_ULONG *base, CK_SLOT_ID slot)
{
	CK_SLOT_ID id = 0;

	CHECK(p11_numbering_assign(p11_intern(name), base, slot, &id));
	const struct p11_numbered *found = p11_numbering_find(id);
	CHECK(found && found->id == id && found->slot == slot && !strcmp(found->name, name));
	return id;
}

static int
run_on(void *data)
{
	(void)data;
	CHECK(!p11_numbering_find(0x11));
	CHECK(!p11_numbering_find(0));
	CHECK(assign("a", NULL, 5) == 0x11);
	CHECK(assign("a", NULL, 0) == 0x12);
	CHECK(assign("b", NULL, 5) == 0x13);
	CHECK(assign("a", NULL, 5) == 0x11);
	CHECK(assign("a", NULL, 0) == 0x12);
	CHECK(assign("b", NULL, ~(CK_ULONG)0) == 0x14);
	CHECK(assign("b", NULL, ~(CK_ULONG)0) == 0x14);
	CHECK(!p11_numbering_find(0x10));
	CHECK(!p11_numbering_find(0x15));
	CHECK(!p11_numbering_find(~(CK_ULONG)0));
	return 0;
}

static int
base_of_18(void *data)
{
	const CK_ULONG base = 18;

	(void)data;
	p11_numbering_keep_free(base);
	p11_numbering_keep_free(base);
	p11_message_clear();
	CHECK(assign("based", &base, 0) == 18);
	CHECK(assign("based", &base, 7) == 25);
	CHECK(assign("based", &base, 0xffff) == 18 + 0xffff);
	/* 0x11 is below the range, the next one behind it. */
	CHECK(assign("running", NULL, 0) == 0x11);
	CHECK(assign("running", NULL, 1) == 18 + 0x10000);
	CHECK(assign("based", &base, 0x12345) == 18 + 0x12345);
	CHECK(assign("based", &base, 0) == 18);
	CHECK(!p11_message_last());
	return 0;
}

static int
base_of_100000(void *data)
{
	const CK_ULONG base = 100000;

	(void)data;
	p11_numbering_keep_free(base);
	CHECK(assign("running", NULL, 0) == 0x11);
	CHECK(assign("based", &base, 3) == 100003);
	CHECK(assign("running", NULL, 1) == 0x12);
	return 0;
}

/* Ranges that lie side by side and over each other are all skipped. */
static int
skip_all_ranges(void *data)
{
	(void)data;
	p11_numbering_keep_free(0x11 + 0x10000);
	p11_numbering_keep_free(0x11);
	p11_numbering_keep_free(0x11 + 0x18000);
	CHECK(assign("a", NULL, 0) == 0x11 + 0x28000);
	return 0;
}

static int
overlap(void *data)
{
	const CK_ULONG one = 0x1000, two = 0x1001;

	(void)data;
	p11_numbering_keep_free(one);
	p11_numbering_keep_free(two);
	CHECK(assign("one", &one, 1) == 0x1001);
	p11_message_clear();
	CK_SLOT_ID instead = assign("two", &two, 0);
	CHECK(instead == 0x11);
	CHECK(strstr(p11_message_last(), "two") && strstr(p11_message_last(), "0x1001"));
	p11_message_clear();
	CHECK(assign("two", &two, 0) == instead);
	CHECK(!p11_message_last());
	CHECK(assign("two", &two, 1) == 0x1002);
	return 0;
}

static int
overflow(void *data)
{
	const CK_ULONG base = 0x1000, high = ~(CK_ULONG)0 - 1;

	(void)data;
	p11_numbering_keep_free(base);
	p11_numbering_keep_free(high);
	p11_message_clear();
	CHECK(assign("a", &base, ~(CK_ULONG)0 - 0xfff) == 0x11);
	CHECK(p11_message_last());
	CHECK(assign("a", &base, ~(CK_ULONG)0) == 0x12);
	/* The one value that means "no information" is nobody's id. */
	CHECK(assign("b", &high, 1) == 0x13);
	CHECK(assign("b", &high, 0) == high);
	return 0;
}

/* The slot was numbered before somebody configured a base: it keeps its id. */
static int
id_before_base(void *data)
{
	const CK_ULONG base = 0x2000;

	(void)data;
	CHECK(assign("a", NULL, 0) == 0x11);
	p11_numbering_keep_free(base);
	CHECK(assign("a", &base, 0) == 0x11);
	CHECK(assign("a", &base, 1) == 0x2001);
	return 0;
}

static int
too_many_bases(void *data)
{
	(void)data;
	p11_message_clear();
	for (CK_ULONG i = 0; i < 64; i++)
		p11_numbering_keep_free(0x100000 + i * 0x10000);
	CHECK(!p11_message_last());
	p11_numbering_keep_free(0x100000);
	CHECK(!p11_message_last());
	p11_numbering_keep_free(0x11);
	CHECK(p11_message_last());
	return 0;
}

#define N_MANY 10000

static int
many(void *data)
{
	(void)data;
	for (CK_ULONG i = 0; i < N_MANY; i++)
		CHECK(assign("many", NULL, i * 3) == 0x11 + i);
	for (CK_ULONG i = 0; i < N_MANY; i++)
		CHECK(assign("many", NULL, i * 3) == 0x11 + i);
	return 0;
}

#define N_THREADS 4
#define N_EACH 3000

static void
number_all(void *data, unsigned i)
{
	const char *names[] = {p11_intern("even"), p11_intern("odd")};
	CK_SLOT_ID(*ids)[N_EACH] = data;

	for (unsigned n = 0; n < N_EACH; n++) {
		unsigned slot = i % 2 ? n : N_EACH - 1 - n;
		if (!p11_numbering_assign(names[slot % 2], NULL, slot, &ids[i][slot]))
			exit(2);
		const struct p11_numbered *found = p11_numbering_find(ids[i][slot]);
		if (!found || found->slot != slot || found->name != names[slot % 2])
			exit(3);
	}
}

static int
threads(void *data)
{
	static CK_SLOT_ID ids[N_THREADS][N_EACH];
	static bool is_used[N_EACH];

	(void)data;
	crew_join(crew_start(N_THREADS, number_all, ids));
	for (unsigned slot = 0; slot < N_EACH; slot++) {
		CK_SLOT_ID id = ids[0][slot];
		for (unsigned i = 1; i < N_THREADS; i++)
			CHECK(ids[i][slot] == id);
		CHECK(id >= 0x11 && id < 0x11 + N_EACH && !is_used[id - 0x11]);
		is_used[id - 0x11] = true;
	}
	return 0;
}

static int
go_on_in_child(void *data)
{
	(void)data;
	CHECK(assign("a", NULL, 1) == 0x12);
	CHECK(assign("a", NULL, 0) == 0x11);
	CHECK(assign("a", NULL, 7) == 0x13);
	return 0;
}

static int
over_fork(void *data)
{
	(void)data;
	assign("a", NULL, 0);
	assign("a", NULL, 1);
	CHECK(child_run(go_on_in_child, NULL, 60) == 0);
	CHECK(assign("a", NULL, 8) == 0x13);
	return 0;
}

static atomic_bool is_over;

static void
number_until_over(void *data, unsigned i)
{
	const char *name = p11_intern("busy");
	CK_SLOT_ID id;

	(void)data;
	for (CK_ULONG slot = i; !is_over && slot < 4000000; slot += 2)
		CHECK(p11_numbering_assign(name, NULL, slot, &id));
}

/* Whatever a thread of the parent was doing: all that the child sees has one id. */
static int
look_in_child(void *data)
{
	CK_SLOT_ID last = 0, id;

	(void)data;
	for (CK_ULONG slot = 0; slot < 200; slot++) {
		CHECK(p11_numbering_assign(p11_intern("busy"), NULL, slot, &id));
		CHECK(p11_numbering_find(id) && p11_numbering_find(id)->slot == slot);
		CHECK(id != last);
		last = id;
	}
	return 0;
}

static int
fork_while_numbering(void *data)
{
	(void)data;
	if (!SUPPORT_FORKS_WHILE_BUSY)
		return 0;

	struct crew *crew = crew_start(2, number_until_over, NULL);
	for (int i = 0; i < 20; i++)
		CHECK(child_run(look_in_child, NULL, 60) == 0);
	is_over = true;
	crew_join(crew);
	return 0;
}

static void
run(void **state)
{
	int (*test)(void *);

	*(void **)&test = *state;
	assert_int_equal(child_run(test, NULL, 300), 0);
}

#define TEST(function)                                                                             \
	{                                                                                          \
#function, run, NULL, NULL, (void *)(uintptr_t)(function)                          \
	}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(run_on),          TEST(base_of_18), TEST(base_of_100000),
		TEST(skip_all_ranges), TEST(overlap),    TEST(overflow),
		TEST(id_before_base),  TEST(many),       TEST(threads),
		TEST(too_many_bases),  TEST(over_fork),  TEST(fork_while_numbering),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
