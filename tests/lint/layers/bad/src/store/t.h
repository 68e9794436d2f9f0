#pragma once
#include "store/s.h"
