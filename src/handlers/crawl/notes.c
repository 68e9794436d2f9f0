/*
 * A list in order of arrival, and a map from kind, subject and reason to its items.
 */
#include "handlers/crawl/notes.h"

#include "base/assert.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/macro.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/rand.h"
#include "base/text.h"

#include <stdio.h>

typedef struct Item {
    ListLink link;
    Note note;
    char text[]; /* what the note points at: its kind, its subject, its reason */
} Item;

struct Notes {
    Map map; /* an item's text → the item */
    List items;
    uint64_t n_lost; /* that came when there was no room */
};

Notes *notes_new(void)
{
    Notes *notes = mem_new(Notes);

    map_init(&notes->map, rand_entropy(), rand_entropy());
    return notes;
}

void notes_free(Notes *notes)
{
    ListLink *link;

    if (!notes)
        return;
    while ((link = list_pop_front(&notes->items)))
        mem_free(LIST_ITEM(link, Item, link));
    map_deinit(&notes->map);
    mem_free(notes);
}

const char *note_word(NoteKind kind)
{
    static const char *const words[] = {
#define X(name, word) [NOTE_##name] = (word),
        CRAWL_NOTES(X)
#undef X
    };

    ASSERT(kind < NOTE_KIND_COUNT);
    return words[kind];
}

static Item *item_new(NoteKind kind, Str key, Str subject, Str why)
{
    Item *item = mem_zalloc(sizeof(*item) + key.len);

    memcpy(item->text, key.data, key.len);
    item->note = (Note){
        .kind = kind,
        .subject = str_from(item->text + 1, subject.len),
        .why = str_from(item->text + 1 + subject.len + 1, why.len),
    };
    return item;
}

void notes_add(Notes *notes, NoteKind kind, Str subject, Str why, uint64_t count)
{
    AUTO(buf_deinit) Buf key = { 0 };
    Item *item;

    if (!notes)
        return;
    ASSERT(kind < NOTE_KIND_COUNT);
    subject = str_cut_utf8(subject, LIMIT_CRAWL_NOTE_BYTES);
    why = str_cut_utf8(why, LIMIT_CRAWL_NOTE_BYTES);
    buf_add_char(&key, (char) kind);
    buf_add_str(&key, subject);
    buf_add_char(&key, '\n');
    buf_add_str(&key, why);
    if (key.is_failed)
        return; /* a report that lacks a line is better than none */
    item = map_find(&notes->map, buf_str(&key));
    if (item) {
        item->note.count += count;
        return;
    }
    if (notes->items.len == LIMIT_CRAWL_NOTES) {
        notes->n_lost++;
        return;
    }
    item = item_new(kind, buf_str(&key), subject, why);
    item->note.count = count;
    list_push_back(&notes->items, &item->link);
    (void) map_put(&notes->map, str_from(item->text, key.len), item);
}

void notes_add_robots_cut(Notes *notes, Str authority, bool is_too_long)
{
    char why[100];
    int len = is_too_long
                  ? snprintf(why, sizeof(why), "only its first %d bytes count", LIMIT_ROBOTS_BYTES)
                  : snprintf(why, sizeof(why), "only the first %d sitemaps that it names are read",
                             LIMIT_ROBOTS_SITEMAPS);

    notes_add(notes, NOTE_ROBOTS_CUT, authority, str_from(why, (size_t) len), 1);
}

/* Whether LEFT comes before RIGHT, which arrived earlier. */
static bool goes_before(const Note *left, const Note *right)
{
    return left->kind != right->kind ? left->kind < right->kind : left->count > right->count;
}

size_t notes_top(const Notes *notes, Note *ret_notes, size_t n, uint64_t *ret_more)
{
    size_t len = 0;

    ASSERT(n > 0);
    *ret_more = notes->items.len + notes->n_lost;
    list_each(&notes->items, link) {
        const Note *note = &LIST_ITEM(link, Item, link)->note;
        size_t at = len;

        while (at > 0 && goes_before(note, &ret_notes[at - 1]))
            at--;
        if (at == n)
            continue;
        len = MIN(len + 1, n);
        memmove(&ret_notes[at + 1], &ret_notes[at], (len - at - 1) * sizeof(*ret_notes));
        ret_notes[at] = *note;
    }
    *ret_more -= len;
    return len;
}
