/*
 * What an operator should know of the store: facts, warnings, what is broken. One note for each
 * name; any loop may put one.
 */
#include "store/redis/remote_int.h"

#include <stdarg.h>
#include <stdio.h>

void note_put(Remote *remote, int kind, const char *name, const char *fmt, ...)
{
    StoreNote note = { .kind = (typeof(note.kind)) kind };
    va_list args;
    size_t i = 0;

    snprintf(note.name, sizeof(note.name), "%s", name);
    va_start(args, fmt);
    vsnprintf(note.text, sizeof(note.text), fmt, args);
    va_end(args);
    pthread_mutex_lock(&remote->notes_lock);
    while (i < remote->n_notes && strcmp(remote->notes[i].name, name) != 0)
        i++;
    if (i < STORE_NOTES_MAX) {
        remote->notes[i] = note;
        remote->n_notes = MAX(remote->n_notes, i + 1);
    }
    pthread_mutex_unlock(&remote->notes_lock);
}

void note_drop(Remote *remote, const char *name)
{
    size_t n = 0;

    pthread_mutex_lock(&remote->notes_lock);
    for (size_t i = 0; i < remote->n_notes; i++) {
        if (strcmp(remote->notes[i].name, name) != 0)
            remote->notes[n++] = remote->notes[i];
    }
    remote->n_notes = n;
    pthread_mutex_unlock(&remote->notes_lock);
}

size_t remote_notes(void *ctx, StoreNote *notes, size_t max)
{
    Remote *remote = ctx;
    size_t n;

    pthread_mutex_lock(&remote->notes_lock);
    n = MIN(remote->n_notes, max);
    memcpy(notes, remote->notes, n * sizeof(StoreNote));
    pthread_mutex_unlock(&remote->notes_lock);
    return n;
}
