/*
 * The only place where the modules meet: main.c calls app_main, which gives the commands what they
 * may ask for.
 */
#pragma once

/* Run the program; its exit code. */
int app_main(int argc, char **argv);
