#pragma once
#define SL_API __attribute__((visibility("default")))

/* The one. Mentions SL_API int a_ghost(void); in passing. */
SL_API int a_one(int x);

/* Formats. */
SL_API int a_two(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
