/*
 * stderr, cut into lines; see the header.
 */
#include "handlers/exec/words.h"

#include "base/text.h"

#include <sluice/rt/io.h>

#define CHUNK_BYTES 1024

/* Keep the end of everything that was said, a space for each line break. */
static void keep_last(Words *words, Str line)
{
    size_t room = sizeof(words->last) - 2;
    Str kept = line.len > room ? str_sub(line, line.len - room, room) : line;

    while (kept.len > 0 && ((unsigned char) kept.data[0] & 0xc0) == 0x80)
        kept = str_sub(kept, 1, kept.len); /* never half a character */
    if (words->last_len + kept.len + 1 > room)
        words->last_len = 0;
    if (words->last_len > 0)
        words->last[words->last_len++] = ' ';
    for (size_t i = 0; i < kept.len; i++) {
        unsigned char c = (unsigned char) kept.data[i];

        words->last[words->last_len++] = c < 0x20 || c == 0x7f ? ' ' : (char) c;
    }
}

static void end_line(Words *words, void (*on_line)(void *ctx, Str line), void *ctx)
{
    Str line = str_from(words->line,
                        words->len < sizeof(words->line) ? words->len : sizeof(words->line));

    if (line.len > 0 && line.data[line.len - 1] == '\r')
        line.len--;
    words->len = 0;
    if (line.len == 0)
        return;
    keep_last(words, line);
    on_line(ctx, line);
}

int words_read(Words *words, int fd, void (*on_line)(void *ctx, Str line), void *ctx)
{
    char chunk[CHUNK_BYTES];
    ssize_t n;

    while ((n = sl_fd_read(fd, chunk, sizeof(chunk))) > 0) {
        for (ssize_t i = 0; i < n; i++) {
            if (chunk[i] == '\n')
                end_line(words, on_line, ctx);
            else if (words->len++ < sizeof(words->line))
                words->line[words->len - 1] = chunk[i];
        }
    }
    end_line(words, on_line, ctx);
    return n < 0 ? (int) n : 0;
}

Str words_last(Words *words)
{
    return str_from(words->last, words->last_len);
}
