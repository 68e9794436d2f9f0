/*
 * stdin: rows that another program writes into a pipe.
 *
 * Ends with the input. While the channel is full nothing is read, and the pipe stops the other
 * program. There is no position: what was read and not committed when the process dies is lost, so
 * where that matters the other program must be one that can begin again.
 */
#include "rows/source_bytes.h"

#include <unistd.h>

SUSPENDS static int stdin_run(Source *source)
{
    return source_bytes_read_all(source, STDIN_FILENO, str_from_c("stdin"));
}

const SourceDriver source_stdin = {
    .name = "stdin",
    .summary = "what is piped into this program, in any format; ends with it",
    .is_local = true,
    .run = stdin_run,
};
