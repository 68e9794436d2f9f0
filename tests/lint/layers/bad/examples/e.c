#include "rt/r.h"
