#include "gen/handlers.h"
#include "store/s.h"
