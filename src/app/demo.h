/*
 * The playground as a program of its own.
 */
#pragma once

/* Serve what FLAGS (DemoOptions) say until a signal, or print the expected rows. 0 or an error. */
int demo_run(const void *flags);
