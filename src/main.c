/*
 * sluice: an engine for asynchronous work.
 *
 * Everything is in app/, which is the only place where the modules meet.
 */
#include "app/app.h"

int main(int argc, char **argv)
{
    return app_main(argc, argv);
}
