#include "handlers/foo/foo.h"
#include "store/s.h"
