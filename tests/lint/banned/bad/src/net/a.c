#include <string.h>
#include <unistd.h>

enum colour { RED, GREEN };
struct thing { int x; };

int name(enum colour colour, char *text) // at the desk
{
    struct thing thing;
    memset(&thing, 0, sizeof(thing));
    strcpy(text, "x");
    sleep(1);
    log_info("loud");
    switch (colour) {
    case RED: return 1;
    case GREEN: return 2;
    default: return 3;
    }
}
/* TODO: later */
/* XXX */
__attribute__((warn_unused_result)) int must_look(void);
void looks_away(void)
{
    must_look();
    (void) must_look(); /* deliberately */
}
