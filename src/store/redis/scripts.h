/*
 * The scripts and how they are called, for tests that run them on a server of their own.
 */
#pragma once

#include "store/redis/request_int.h"
