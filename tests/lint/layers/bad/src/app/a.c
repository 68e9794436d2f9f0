#include "store/s_int.h"
#include "a.h"
