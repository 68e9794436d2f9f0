#pragma once
#include <sluice/a.h>
#define b_twice(x) ({ __auto_type twice_ = (x); twice_ + twice_; })
