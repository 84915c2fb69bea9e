/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Part of the library that test-scarce.c is linked with (meson.build). The linker's --wrap puts the
 * functions below before libc's, for the library's calls only. Where files may be large, open() is
 * called open64(), and so on.
 */
#include "scarce.h"

#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void __real_free(void *block);
void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *old, size_t size);
void *__real_reallocarray(void *old, size_t n, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
char *__real_strdup(const char *string);
char *__real_strndup(const char *string, size_t length);
int __real_vasprintf(char **out, const char *format, va_list args)
	__attribute__((format(printf, 2, 0)));

void __wrap_free(void *block);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_reallocarray(void *old, size_t n, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
char *__wrap_strdup(const char *string);
char *__wrap_strndup(const char *string, size_t length);
int __wrap_vasprintf(char **out, const char *format, va_list args)
	__attribute__((format(printf, 2, 0)));
int __wrap_asprintf(char **out, const char *format, ...) __attribute__((format(printf, 2, 3)));

int __real_open64(const char *path, int flags, ...);
FILE *__real_fopen64(const char *path, const char *mode);
ssize_t __real_read(int fd, void *bytes, size_t size);
DIR *__real_opendir(const char *path);
struct dirent *__real_readdir64(DIR *dir);
int __real_stat64(const char *path, struct stat *about);
int __real_fstat64(int fd, struct stat *about);

int __wrap_open64(const char *path, int flags, ...);
FILE *__wrap_fopen64(const char *path, const char *mode);
ssize_t __wrap_read(int fd, void *bytes, size_t size);
DIR *__wrap_opendir(const char *path);
struct dirent *__wrap_readdir64(DIR *dir);
int __wrap_stat64(const char *path, struct stat *about);
int __wrap_fstat64(int fd, struct stat *about);

/* ---- memory ---- */

static bool
no_memory(void)
{
	if (!scarce_fails || !scarce_fails(SCARCE_MEMORY))
		return false;
	errno = ENOMEM;
	return true;
}

static void *
counted(void *block)
{
	if (block && scarce_count)
		scarce_count(1);
	return block;
}

void
__wrap_free(void *block)
{
	if (block && scarce_count)
		scarce_count(-1);
	__real_free(block);
}

void *
__wrap_malloc(size_t size)
{
	return no_memory() ? NULL : counted(__real_malloc(size));
}

void *
__wrap_calloc(size_t n, size_t size)
{
	return no_memory() ? NULL : counted(__real_calloc(n, size));
}

void *
__wrap_aligned_alloc(size_t alignment, size_t size)
{
	return no_memory() ? NULL : counted(__real_aligned_alloc(alignment, size));
}

/* A block that grows stays one. */
void *
__wrap_realloc(void *old, size_t size)
{
	if (no_memory())
		return NULL;
	return old ? __real_realloc(old, size) : counted(__real_realloc(NULL, size));
}

void *
__wrap_reallocarray(void *old, size_t n, size_t size)
{
	if (no_memory())
		return NULL;
	return old ? __real_reallocarray(old, n, size)
		   : counted(__real_reallocarray(NULL, n, size));
}

char *
__wrap_strdup(const char *string)
{
	return no_memory() ? NULL : counted(__real_strdup(string));
}

char *
__wrap_strndup(const char *string, size_t length)
{
	return no_memory() ? NULL : counted(__real_strndup(string, length));
}

int
__wrap_vasprintf(char **out, const char *format, va_list args)
{
	int length = no_memory() ? -1 : __real_vasprintf(out, format, args);

	if (length >= 0)
		counted(*out);
	return length;
}

int
__wrap_asprintf(char **out, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	int length = __wrap_vasprintf(out, format, args);
	va_end(args);
	return length;
}

/* ---- files ---- */

static bool
no_file(void)
{
	if (!scarce_fails || !scarce_fails(SCARCE_FILES))
		return false;
	errno = SCARCE_ERROR;
	return true;
}

int
__wrap_open64(const char *path, int flags, ...)
{
	return no_file() ? -1 : __real_open64(path, flags); /* the library creates no files */
}

FILE *
__wrap_fopen64(const char *path, const char *mode)
{
	return no_file() ? NULL : __real_fopen64(path, mode);
}

ssize_t
__wrap_read(int fd, void *bytes, size_t size)
{
	return no_file() ? -1 : __real_read(fd, bytes, size);
}

DIR *
__wrap_opendir(const char *path)
{
	return no_file() ? NULL : __real_opendir(path);
}

struct dirent *
__wrap_readdir64(DIR *dir)
{
	return no_file() ? NULL : __real_readdir64(dir);
}

int
__wrap_stat64(const char *path, struct stat *about)
{
	return no_file() ? -1 : __real_stat64(path, about);
}

int
__wrap_fstat64(int fd, struct stat *about)
{
	return no_file() ? -1 : __real_fstat64(fd, about);
}
