#include "store/s.h"
#include "store/s_int.h"
#include "base/a.h"
#include "rt/r.h"
#include <stdio.h>
