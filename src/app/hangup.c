/*
 * Which of the two a SIGHUP is. The terminal of a process can be opened as /dev/tty; once it has
 * hung up, no more. A process without a terminal, below a service manager, never had one.
 */
#include "app/hangup.h"

#include "base/err.h"

#include <fcntl.h>
#include <signal.h>

SUSPENDS bool hangup_has_terminal(void)
{
    int fd = -1;
    int r = sl_file_open("/dev/tty", O_RDONLY | O_NOCTTY | O_CLOEXEC | O_NONBLOCK, 0, &fd);

    if (r < 0) {
        err_take(r, NULL);
        return false;
    }
    (void) sl_file_close(fd); /* nothing was written */
    return true;
}

SUSPENDS bool hangup_is_real(bool had_terminal)
{
    return had_terminal && !hangup_has_terminal();
}

bool hangup_is_ignored(void)
{
    struct sigaction hangup;

    return sigaction(SIGHUP, NULL, &hangup) == 0 && hangup.sa_handler == SIG_IGN;
}
