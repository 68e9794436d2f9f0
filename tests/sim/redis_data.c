/*
 * The dataset: see redis_data.h.
 *
 * Undo is a list of former values, the newest first, in steps. Between two marks a key is put aside
 * once, because what it was at the beginning of the step is all that going back needs.
 */
#include "../sim/redis_data.h"

#include "base/assert.h"
#include "base/mem.h"

#include <sluice/rt.h>

#include <string.h>

Str text_own(Str text)
{
    return str_from(mem_copy_c(text.data ? text.data : "", text.len), text.len);
}

void text_drop(Str *text)
{
    mem_free((char *) text->data);
    *text = (Str){ 0 };
}

/* ---- values ---------------------------------------------------------------------------------- */

DataValue *value_new(DataKind kind)
{
    DataValue *value = mem_new(DataValue);

    value->kind = kind;
    return value;
}

static void item_free(DataItem *item)
{
    text_drop(&item->name);
    text_drop(&item->value);
    mem_free(item);
}

void value_free(DataValue *value)
{
    size_t cursor = 0;
    Str name;
    void *item;

    if (!value)
        return;
    text_drop(&value->text);
    for (size_t i = 0; value->kind == DATA_LIST && i < value->n; i++)
        text_drop(&value->texts[value->head + i]);
    while (map_next(&value->items, &cursor, &name, &item))
        item_free(item);
    map_deinit(&value->items);
    mem_free(value->texts);
    mem_free(value->ranks);
    mem_free(value);
}

DataValue *value_copy(const DataValue *value)
{
    DataValue *copy = value_new(value->kind);

    if (value->kind == DATA_STRING)
        copy->text = text_own(value->text);
    for (size_t i = 0; value->kind == DATA_LIST && i < value->n; i++)
        list_value_push(copy, value->texts[value->head + i], false);
    for (size_t i = 0; value->kind == DATA_ZSET && i < value->n; i++)
        item_put(copy, value->ranks[i]->name, (Str){ 0 }, value->ranks[i]->score);
    list_each(&value->order, link) {
        DataItem *item = LIST_ITEM(link, DataItem, link);

        item_put(copy, item->name, item->value, 0);
    }
    return copy;
}

size_t value_len(const DataValue *value)
{
    switch (value->kind) {
    case DATA_STRING: return value->text.len;
    case DATA_LIST:
    case DATA_ZSET: return value->n;
    case DATA_HASH:
    case DATA_SET: return value->items.len;
    }
    UNREACHABLE("a kind of value");
}

/* Room for one more at either end of a list: the texts are moved to the middle of a larger array.
 */
static void list_value_grow(DataValue *list)
{
    size_t cap = list->n * 2 + 16, head = (cap - list->n) / 2;
    Str *texts = mem_new_array(Str, cap);

    if (list->n > 0)
        memcpy(texts + head, list->texts + list->head, list->n * sizeof(Str));
    mem_free(list->texts);
    list->texts = texts;
    list->head = head;
    list->cap = cap;
}

void list_value_push(DataValue *list, Str text, bool at_left)
{
    if (at_left ? list->head == 0 : list->head + list->n == list->cap)
        list_value_grow(list);
    if (at_left)
        list->head--;
    list->texts[at_left ? list->head : list->head + list->n] = text_own(text);
    list->n++;
}

Str list_value_pop(DataValue *list, bool at_left)
{
    size_t at = at_left ? list->head : list->head + list->n - 1;

    ASSERT(list->n > 0);
    list->n--;
    if (at_left)
        list->head++;
    return list->texts[at];
}

void list_value_cut(DataValue *list, size_t at)
{
    Str *texts = list->texts + list->head;

    ASSERT(at < list->n);
    text_drop(&texts[at]);
    memmove(texts + at, texts + at + 1, (list->n - at - 1) * sizeof(Str));
    list->n--;
}

DataItem *item_find(const DataValue *value, Str name)
{
    return map_find(&value->items, name);
}

static int rank_cmp(const DataItem *item, double score, Str name)
{
    if (item->score != score)
        return item->score < score ? -1 : 1;
    return str_cmp(item->name, name);
}

size_t zset_lower(const DataValue *zset, double score, Str name)
{
    size_t low = 0, high = zset->n;

    while (low < high) {
        size_t middle = (low + high) / 2;

        if (rank_cmp(zset->ranks[middle], score, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

size_t item_rank(const DataValue *zset, const DataItem *item)
{
    size_t at = zset_lower(zset, item->score, item->name);

    ASSERT(at < zset->n && zset->ranks[at] == item);
    return at;
}

static void rank_insert(DataValue *zset, DataItem *item)
{
    size_t at = zset_lower(zset, item->score, item->name);

    if (zset->n == zset->cap) {
        zset->cap = zset->cap * 2 + 8;
        zset->ranks = mem_resize_array(zset->ranks, zset->cap, sizeof(DataItem *));
    }
    memmove(zset->ranks + at + 1, zset->ranks + at, (zset->n - at) * sizeof(DataItem *));
    zset->ranks[at] = item;
    zset->n++;
}

static void rank_remove(DataValue *zset, const DataItem *item)
{
    size_t at = item_rank(zset, item);

    zset->n--;
    memmove(zset->ranks + at, zset->ranks + at + 1, (zset->n - at) * sizeof(DataItem *));
}

bool item_put(DataValue *value, Str name, Str text, double score)
{
    DataItem *item = item_find(value, name);
    bool is_new = !item;

    if (is_new) {
        item = mem_new(DataItem);
        item->name = text_own(name);
        (void) map_put(&value->items, name, item);
        if (value->kind != DATA_ZSET)
            list_push_back(&value->order, &item->link);
    }
    if (value->kind == DATA_HASH) {
        Str owned = text_own(text);

        text_drop(&item->value);
        item->value = owned;
    }
    if (value->kind == DATA_ZSET) {
        if (!is_new)
            rank_remove(value, item);
        item->score = score + 0.0; /* -0 is 0 */
        rank_insert(value, item);
    }
    return is_new;
}

bool item_remove(DataValue *value, Str name)
{
    DataItem *item = item_find(value, name);

    if (!item)
        return false;
    if (value->kind == DATA_ZSET)
        rank_remove(value, item);
    (void) map_remove(&value->items, name);
    list_remove(&item->link);
    item_free(item);
    return true;
}

/* ---- keys ------------------------------------------------------------------------------------ */

static void key_free(DataKey *key)
{
    if (!key)
        return;
    text_drop(&key->name);
    value_free(key->value);
    mem_free(key);
}

static void keys_free(Map *keys)
{
    size_t cursor = 0;
    Str name;
    void *key;

    while (map_next(keys, &cursor, &name, &key))
        key_free(key);
    map_deinit(keys);
}

static void undo_free(DataUndo *undo)
{
    while (undo) {
        DataUndo *older = undo->older;

        text_drop(&undo->was.name);
        value_free(undo->was.value);
        mem_free(undo);
        undo = older;
    }
}

void data_deinit(Data *data)
{
    keys_free(&data->keys);
    map_deinit(&data->touched);
    undo_free(data->undo);
    *data = (Data){ 0 };
}

DataKey *data_find(Data *data, Str name, int64_t now_ms)
{
    DataKey *key = map_find(&data->keys, name);

    if (!key || key->expires_ms == 0 || key->expires_ms > now_ms)
        return key;
    data_touch(data, name);
    data_remove(data, name);
    return NULL;
}

void data_touch(Data *data, Str name)
{
    DataKey *key;
    DataUndo *undo;

    data->changes++;
    if (!data->keeps_undo || map_find(&data->touched, name))
        return;
    (void) map_put(&data->touched, name, data);
    key = map_find(&data->keys, name);
    undo = mem_new(DataUndo);
    undo->at_ns = sl_now_ns();
    undo->was.name = text_own(name);
    undo->was.value = key ? value_copy(key->value) : NULL;
    undo->was.expires_ms = key ? key->expires_ms : 0;
    undo->older = data->undo;
    data->undo = undo;
}

DataKey *data_make(Data *data, Str name, DataKind kind)
{
    DataKey *key = mem_new(DataKey);

    key->name = text_own(name);
    key->value = value_new(kind);
    key_free(map_put(&data->keys, name, key));
    return key;
}

void data_remove(Data *data, Str name)
{
    key_free(map_remove(&data->keys, name));
}

void data_clear(Data *data)
{
    size_t cursor = 0;
    Str name;
    void *key;

    while (data->keeps_undo && map_next(&data->keys, &cursor, &name, &key))
        data_touch(data, name);
    keys_free(&data->keys);
    data->keys = (Map){ 0 };
    data->changes++;
}

void data_mark(Data *data)
{
    if (data->touched.len == 0)
        return;
    map_deinit(&data->touched);
    data->touched = (Map){ 0 };
}

bool data_undo(Data *data, int64_t at_ns)
{
    bool is_any = false;

    while (data->undo && data->undo->at_ns > at_ns) {
        DataUndo *undo = data->undo;

        data->undo = undo->older;
        undo->older = NULL;
        data_remove(data, undo->was.name);
        if (undo->was.value) {
            DataKey *key = data_make(data, undo->was.name, undo->was.value->kind);

            value_free(key->value);
            key->value = TAKE(undo->was.value);
            key->expires_ms = undo->was.expires_ms;
        }
        undo_free(undo);
        is_any = true;
    }
    data_mark(data);
    return is_any;
}

void data_forget_undo(Data *data, int64_t at_ns)
{
    DataUndo **slot = &data->undo;

    while (*slot && (*slot)->at_ns > at_ns)
        slot = &(*slot)->older;
    undo_free(*slot);
    *slot = NULL;
    data_mark(data);
}

void data_copy(const Data *from, Data *to)
{
    size_t cursor = 0;
    Str name;
    void *slot;

    while (map_next(&from->keys, &cursor, &name, &slot)) {
        const DataKey *key = slot;
        DataKey *copy = data_make(to, name, key->value->kind);

        value_free(copy->value);
        copy->value = value_copy(key->value);
        copy->expires_ms = key->expires_ms;
    }
}

uint64_t data_bytes(const Data *data)
{
    size_t cursor = 0;
    uint64_t bytes = 0;
    Str name;
    void *slot;

    while (map_next(&data->keys, &cursor, &name, &slot)) {
        const DataKey *key = slot;

        bytes += 64 + name.len + 48 * value_len(key->value);
    }
    return bytes;
}
