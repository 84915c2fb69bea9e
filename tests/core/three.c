/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/three.h"

struct scene *scene;
struct chaos *a, *b, *c;

void
three_begin(const char *more_of_b)
{
	scene = scene_new();
	a = scene_chaos(scene, "a", "chaos-a", NULL);
	b = scene_chaos(scene, "b", "chaos-b", more_of_b);
	c = scene_chaos(scene, "c", "chaos-c", NULL);
	scene_use(scene, NULL);
}

void
three_end(void)
{
	assert_true(chaos_is_exact(a));
	assert_true(chaos_is_exact(b));
	assert_true(chaos_is_exact(c));
	scene_free(scene);
}
