/* Mentions strcpy(, sleep( and // in a comment, and a link: http://example.org/. */
#include <string.h>

enum colour { RED, GREEN };

int sleep_for(int x);
int name(enum colour colour, const char *text)
{
    struct { int (*sleep)(int); } loop = { sleep_for };
    int n = loop.sleep(2) + (int) strlen(text) + (int) strlen("// system(");
    switch (colour) {
    case RED: return 1;
    case GREEN: return 2;
    }
    switch (n) {
    case 3: return 3;
    default: return 4;
    }
}
