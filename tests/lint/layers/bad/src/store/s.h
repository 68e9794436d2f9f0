#pragma once
#include "store/t.h"
