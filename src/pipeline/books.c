/*
 * The books: every row under one heading.
 *
 *   received = written + filtered + dead + dropped + in flight        (P1)
 *
 * in_flight is counted by itself, not worked out from the others, so that a row that vanished would
 * show: when everything has ended it must be 0.
 */
#include "base/assert.h"
#include "base/macro.h"
#include "pipeline/pipeline_int.h"

void causes_add(PipelineCauses *causes, const char *word, uint64_t n)
{
    size_t i = 0;

    if (n == 0)
        return;
    while (i < causes->n && strcmp(causes->items[i].word, word) != 0)
        i++;
    if (i == PIPELINE_CAUSES_MAX)
        i = PIPELINE_CAUSES_MAX - 1;
    if (i == causes->n) {
        word = i == PIPELINE_CAUSES_MAX - 1 ? "other" : word;
        causes->items[i].word = mem_copy_c(word, strlen(word)); /* steps come and go */
        causes->n++;
    }
    causes->items[i].rows += n;
}

static void causes_deinit(PipelineCauses *causes)
{
    for (size_t i = 0; i < causes->n; i++)
        mem_free((char *) causes->items[i].word);
    causes->n = 0;
}

void books_deinit(Books *books)
{
    causes_deinit(&books->filtered_by);
    causes_deinit(&books->dead_by);
    causes_deinit(&books->dropped_by);
}

static void end_rows(Books *books, uint64_t n)
{
    ASSERT(books->in_flight >= n); /* P1 */
    books->in_flight -= n;
}

void books_receive(Books *books, uint64_t n, bool is_made)
{
    books->received += n;
    books->in_flight += n;
    if (is_made)
        books->made += n;
}

void books_write(Books *books, uint64_t n)
{
    end_rows(books, n);
    books->written += n;
}

void books_filter(Books *books, const char *word, uint64_t n)
{
    end_rows(books, n);
    books->filtered += n;
    causes_add(&books->filtered_by, word, n);
}

void books_bury(Books *books, const char *stage, uint64_t n)
{
    end_rows(books, n);
    books->dead += n;
    causes_add(&books->dead_by, stage, n);
}

void books_drop(Books *books, const char *cause, uint64_t n)
{
    end_rows(books, n);
    books->dropped += n;
    causes_add(&books->dropped_by, cause, n);
}
