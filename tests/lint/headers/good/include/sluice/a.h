#pragma once
#include <stddef.h>
#ifdef __cplusplus
extern "C" {
#endif
int a_length(size_t n);
#ifdef __cplusplus
}
#endif
