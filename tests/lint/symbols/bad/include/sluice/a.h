#pragma once
#define SL_API __attribute__((visibility("default")))

SL_API int a_one(int x);

/* Never written. */
SL_API int a_ghost(int x);
