#include "base/a.h"
#include "rt/r.h"
#include <sluice/rt.h>
