#include "app/a.h"
#include "store/s.h"
