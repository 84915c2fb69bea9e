/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Whose entry point is reached, in every constellation of a program, our library, our proxy and a
 * foreign module that the dynamic linker may meet? The answers are what docs/architecture.md
 * promises under "Symbols".
 *
 * A program plays one scene, named by its first argument: what is mapped once stays, so each scene
 * has its process. What a program links is half of a constellation, hence several programs.
 */
#ifndef TESTS_SYMBOLS_CONSTELLATION_H
#define TESTS_SYMBOLS_CONSTELLATION_H

#include <stdbool.h>
#include <stddef.h>

/* The files, from the command line. */
extern const char *library_path;
extern const char *proxy_path;
extern const char *module_240_path;
extern const char *module_30_path;
extern const char *old_library_path;

struct scene {
	const char *name;
	void (*play)(void);
};

/* The programs' main(): plays the scene that the command line names. */
int play_scene(int argc, char *argv[], const struct scene *scenes, size_t n_scenes);

/* Prints the sentence and whether it holds; the scene fails if it does not. */
void expect(bool is_so, const char *what);

void *open_file(const char *path);
bool lies_in(void *function, const char *path);
void isolate_library(void *library);

/* A function pointer of any type: the standard knows no cast from what dlsym() gives. */
#define LOOK_UP(file, name, function) (*(void **)&(function) = dlsym(file, name))

/* Parts of scenes. */
void expect_whole_proxy(void *proxy);
void module_that_links_us(void);
void module_that_asks_itself(bool program_links_us);
void proxy_alone(void);

#endif
