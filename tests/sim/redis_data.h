/*
 * The dataset of the simulated Redis: keys, values, expiry, and the way back.
 *
 * Values are as plain as can be: a hash and a set are a table and a list in order of insertion, a
 * sorted set is a table and an array in order of score. Every writer says data_touch(key) before it
 * changes the key; while the dataset keeps undo, the value as it was is put aside, once for each
 * key between two marks, and data_undo goes back to the mark before a time.
 */
#pragma once

#include "base/list.h"
#include "base/map.h"
#include "base/text.h"

#include <stdbool.h>
#include <stdint.h>

typedef enum DataKind { DATA_STRING, DATA_LIST, DATA_HASH, DATA_SET, DATA_ZSET } DataKind;

/* A field of a hash, a member of a set or of a sorted set. */
typedef struct DataItem {
    ListLink link; /* hash, set: in order of insertion */
    Str name;      /* owned */
    Str value;     /* hash: owned */
    double score;  /* sorted set */
} DataItem;

typedef struct DataValue {
    DataKind kind;
    Str text; /* string: owned */
    /* list: texts[head … head + n - 1], owned; sorted set: ranks[0 … n - 1] */
    Str *texts;
    DataItem **ranks;
    size_t head, n, cap;
    Map items;  /* hash, set, sorted set */
    List order; /* hash, set */
} DataValue;

typedef struct DataKey {
    Str name; /* owned */
    DataValue *value;
    int64_t expires_ms; /* 0: never */
} DataKey;

typedef struct DataUndo {
    struct DataUndo *older;
    int64_t at_ns; /* when the value was changed */
    DataKey was;   /* value NULL: there was none */
} DataUndo;

typedef struct Data {
    Map keys;
    bool keeps_undo;
    Map touched; /* since the last mark */
    DataUndo *undo;
    uint64_t changes;
} Data;

Str text_own(Str text);
void text_drop(Str *text);

void data_deinit(Data *data);

/* The key, unless it has expired at NOW_MS (then it is removed); NULL. */
DataKey *data_find(Data *data, Str name, int64_t now_ms);

/* About to change NAME. */
void data_touch(Data *data, Str name);

/* An empty value of KIND under NAME, which must not exist; touched by the caller. */
DataKey *data_make(Data *data, Str name, DataKind kind);
void data_remove(Data *data, Str name);
void data_clear(Data *data); /* all keys, with undo */

/* Changes from here on are another step for undo. */
void data_mark(Data *data);

/* Go back: take back every step that was made after AT_NS. Whether there was one. */
bool data_undo(Data *data, int64_t at_ns);

/* Steps up to AT_NS are for good. */
void data_forget_undo(Data *data, int64_t at_ns);

/* A copy of all keys (no undo). TO is zeroed. */
void data_copy(const Data *from, Data *to);

uint64_t data_bytes(const Data *data);

/* ---- values ---- */

DataValue *value_new(DataKind kind);
void value_free(DataValue *value);
DataValue *value_copy(const DataValue *value);
size_t value_len(const DataValue *value); /* items, bytes of a string */

void list_value_push(DataValue *list, Str text, bool at_left);
Str list_value_pop(DataValue *list, bool at_left); /* owned by the caller */
void list_value_cut(DataValue *list, size_t at);   /* remove one */

DataItem *item_find(const DataValue *value, Str name);
/* Put an item; whether it is new. SCORE for sorted sets, VALUE for hashes. */
bool item_put(DataValue *value, Str name, Str text, double score);
bool item_remove(DataValue *value, Str name);
size_t item_rank(const DataValue *zset, const DataItem *item);
/* The first place in a sorted set whose item is not before (SCORE, NAME). */
size_t zset_lower(const DataValue *zset, double score, Str name);
