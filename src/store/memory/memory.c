/*
 * memory: jobs in this process and nowhere else. For tests, the simulator, and trying things out.
 *
 * Three ordered maps as skip lists (Pugh 1990). A transaction keeps a log of what it replaced and
 * plays it backwards when it is given up.
 *
 *   level 2   head ----------------> c ----------------> nil
 *   level 1   head ------> b ------> c ----------------> nil
 *   level 0   head -> a -> b -> c -> d -> nil
 *
 *   M1  Keys ascend along each level; what is on level n is on all levels below.
 *   M2  Outside of a transaction the log is empty.
 */
#include "store/memory/memory.h"

#include "store/engine_int.h"

#include "base/rand.h"

enum { LEVELS = 20, NODE_BYTES = 48 };

typedef struct Node {
    Str key;
    Str value; /* owned bytes */
    unsigned levels;
    struct Node *next[];
} Node;

typedef struct SkipList {
    Node *head; /* has all levels and no key */
    size_t len;
} SkipList;

/* What was under a key before this transaction changed it. */
typedef struct Undo {
    KvTree tree;
    Str key;
    Str value;
    bool was_there;
} Undo;

typedef struct MemoryKv {
    SkipList trees[KV_TREES];
    Rand rand;
    uint64_t bytes;
    uint64_t max_bytes;
    Undo *log;
    size_t n_log, cap_log;
    /* the scan */
    Node *scan[KV_TREES];
    bool is_backward[KV_TREES];
    /* tests */
    MemoryImage *image;
    bool is_dead;
} MemoryKv;

typedef struct MemoryDb {
    Engine engine; /* first: the driver's functions are the engine's */
    MemoryKv *kv;
} MemoryDb;

/* ---- skip lists ------------------------------------------------------------------------------ */

static Str bytes_copy(Str s)
{
    char *copy = mem_zalloc(s.len ? s.len : 1);

    if (s.len > 0)
        memcpy(copy, s.data, s.len);
    return str_from(copy, s.len);
}

static void bytes_free(Str s)
{
    mem_free((void *) s.data);
}

static Node *node_new(unsigned levels)
{
    Node *node = mem_zalloc(sizeof(Node) + levels * sizeof(Node *));

    node->levels = levels;
    return node;
}

/* The last node before KEY on each level, into BEFORE; returns what follows on level 0. */
static Node *list_find(const SkipList *list, Str key, Node *before[LEVELS])
{
    Node *at = list->head;

    for (int level = LEVELS - 1; level >= 0; level--) {
        while (at->next[level] && str_cmp(at->next[level]->key, key) < 0)
            at = at->next[level];
        before[level] = at;
    }
    return before[0]->next[0];
}

static Node *list_get(const SkipList *list, Str key, Node *before[LEVELS])
{
    Node *node = list_find(list, key, before);

    return node && str_eq(node->key, key) ? node : NULL;
}

static void list_add(MemoryKv *kv, SkipList *list, Str key, Str value, Node *before[LEVELS])
{
    unsigned levels = 1;
    Node *node;

    while (levels < LEVELS && (rand_u64(&kv->rand) & 3) == 0)
        levels++;
    node = node_new(levels);
    node->key = bytes_copy(key);
    node->value = bytes_copy(value);
    for (unsigned i = 0; i < levels; i++) {
        node->next[i] = before[i]->next[i];
        before[i]->next[i] = node; /* M1 */
    }
    list->len++;
    kv->bytes += key.len + value.len + NODE_BYTES;
}

static void list_del(MemoryKv *kv, SkipList *list, Node *node, Node *before[LEVELS])
{
    for (unsigned i = 0; i < node->levels; i++) {
        ASSERT(before[i]->next[i] == node);
        before[i]->next[i] = node->next[i];
    }
    list->len--;
    kv->bytes -= node->key.len + node->value.len + NODE_BYTES;
    bytes_free(node->key);
    bytes_free(node->value);
    mem_free(node);
}

static void node_set(MemoryKv *kv, Node *node, Str value)
{
    Str copy = bytes_copy(value);

    kv->bytes += value.len - node->value.len;
    bytes_free(node->value);
    node->value = copy;
}

/* ---- transactions ---------------------------------------------------------------------------- */

static void undo_note(MemoryKv *kv, KvTree tree, Str key, const Node *node)
{
    if (kv->n_log == kv->cap_log) {
        kv->cap_log = kv->cap_log ? kv->cap_log * 2 : 64;
        kv->log = mem_try_resize(kv->log, kv->cap_log * sizeof(Undo));
        ASSERT(kv->log);
    }
    kv->log[kv->n_log++] = (Undo){ .tree = tree,
                                   .key = bytes_copy(key),
                                   .value = node ? bytes_copy(node->value) : (Str){ 0 },
                                   .was_there = node != NULL };
    kv->scan[tree] = NULL;
}

static void undo_clear(MemoryKv *kv)
{
    for (size_t i = 0; i < kv->n_log; i++) {
        bytes_free(kv->log[i].key);
        if (kv->log[i].was_there)
            bytes_free(kv->log[i].value);
    }
    kv->n_log = 0; /* M2 */
}

static int memory_begin(void *ctx)
{
    MemoryKv *kv = ctx;

    ASSERT(kv->n_log == 0); /* M2 */
    if (kv->is_dead)
        return fail(-ERR_STORE, "the store has died");
    for (size_t i = 0; i < KV_TREES; i++)
        kv->scan[i] = NULL;
    return 0;
}

static void memory_abort(void *ctx)
{
    MemoryKv *kv = ctx;
    Node *before[LEVELS];

    for (size_t i = kv->n_log; i > 0; i--) {
        const Undo *undo = &kv->log[i - 1];
        SkipList *list = &kv->trees[undo->tree];
        Node *node = list_get(list, undo->key, before);

        if (node && undo->was_there)
            node_set(kv, node, undo->value);
        else if (node)
            list_del(kv, list, node, before);
        else if (undo->was_there)
            list_add(kv, list, undo->key, undo->value, before);
    }
    undo_clear(kv);
}

static int memory_commit(void *ctx)
{
    MemoryKv *kv = ctx;
    MemoryFault fault = MEMORY_OK;

    if (kv->n_log > 0 && kv->image && kv->image->on_commit)
        fault = kv->image->on_commit(kv->image->ctx);
    switch (fault) {
    case MEMORY_OK: undo_clear(kv); return 0;
    case MEMORY_FULL: memory_abort(kv); return fail(-ERR_STORE_FULL, "no room is left");
    case MEMORY_FAILS: memory_abort(kv); return fail(-ERR_STORE, "the commit failed");
    case MEMORY_DIES_BEFORE: memory_abort(kv); break;
    case MEMORY_DIES_AFTER: undo_clear(kv); break;
    }
    kv->is_dead = true;
    return fail(-ERR_STORE, "the store has died");
}

/* ---- the Kv ---------------------------------------------------------------------------------- */

static int memory_get(void *ctx, KvTree tree, Str key, Str *ret_value)
{
    MemoryKv *kv = ctx;
    Node *before[LEVELS], *node = list_get(&kv->trees[tree], key, before);

    if (!node)
        return KV_NONE;
    *ret_value = node->value;
    return 0;
}

static int memory_put(void *ctx, KvTree tree, Str key, Str value)
{
    MemoryKv *kv = ctx;
    Node *before[LEVELS], *node = list_get(&kv->trees[tree], key, before);

    ASSERT(key.len > 0 && key.len <= KV_KEY_BYTES);
    undo_note(kv, tree, key, node);
    if (node)
        node_set(kv, node, value);
    else
        list_add(kv, &kv->trees[tree], key, value, before);
    return 0;
}

static int memory_add(void *ctx, KvTree tree, Str key, Str value)
{
    MemoryKv *kv = ctx;
    Node *before[LEVELS];

    if (list_get(&kv->trees[tree], key, before))
        return KV_EXISTS;
    ASSERT(key.len > 0 && key.len <= KV_KEY_BYTES);
    undo_note(kv, tree, key, NULL);
    list_add(kv, &kv->trees[tree], key, value, before);
    return 0;
}

static int memory_del(void *ctx, KvTree tree, Str key)
{
    MemoryKv *kv = ctx;
    Node *before[LEVELS], *node = list_get(&kv->trees[tree], key, before);

    if (!node)
        return KV_NONE;
    undo_note(kv, tree, key, node);
    list_del(kv, &kv->trees[tree], node, before);
    return 0;
}

static int give(MemoryKv *kv, KvTree tree, Node *node, Str *ret_key, Str *ret_value)
{
    kv->scan[tree] = node;
    if (!node)
        return KV_NONE;
    *ret_key = node->key;
    *ret_value = node->value;
    return 0;
}

static int memory_seek(void *ctx, KvTree tree, Str key, bool is_backward, Str *ret_key,
                       Str *ret_value)
{
    MemoryKv *kv = ctx;
    Node *before[LEVELS], *node = list_find(&kv->trees[tree], key, before);

    kv->is_backward[tree] = is_backward;
    if (is_backward)
        node = before[0] == kv->trees[tree].head ? NULL : before[0];
    return give(kv, tree, node, ret_key, ret_value);
}

static int memory_next(void *ctx, KvTree tree, Str *ret_key, Str *ret_value)
{
    MemoryKv *kv = ctx;
    Node *node = kv->scan[tree];

    ASSERT(node); /* a scan is under way */
    if (kv->is_backward[tree])
        return memory_seek(kv, tree, node->key, true, ret_key, ret_value);
    return give(kv, tree, node->next[0], ret_key, ret_value);
}

static bool memory_has_room(void *ctx, uint64_t bytes)
{
    const MemoryKv *kv = ctx;

    return !(kv->image && kv->image->is_full) && kv->bytes + bytes <= kv->max_bytes;
}

static const KvOps memory_ops = {
    .begin = memory_begin,
    .commit = memory_commit,
    .abort = memory_abort,
    .get = memory_get,
    .add = memory_add,
    .put = memory_put,
    .replace = memory_put,
    .del = memory_del,
    .seek = memory_seek,
    .next = memory_next,
    .has_room = memory_has_room,
};

/* ---- the driver ------------------------------------------------------------------------------ */

static MemoryKv *kv_new(void)
{
    MemoryKv *kv = mem_new(MemoryKv);

    rand_init(&kv->rand, 1); /* levels need no secrets: the same run gives the same list */
    for (size_t i = 0; i < KV_TREES; i++)
        kv->trees[i].head = node_new(LEVELS);
    return kv;
}

static void kv_free(MemoryKv *kv)
{
    ASSERT(kv->n_log == 0); /* M2 */
    for (size_t i = 0; i < KV_TREES; i++) {
        Node *node = kv->trees[i].head;
        while (node) {
            Node *next = node->next[0];
            bytes_free(node->key);
            bytes_free(node->value);
            mem_free(node);
            node = next;
        }
    }
    mem_free(kv->log);
    mem_free(kv);
}

static int memory_open(const StoreConfig *config, void **ret_db)
{
    MemoryDb *db = mem_new(MemoryDb);
    MemoryImage *image = config->image;
    int r;

    if (image && image->kv)
        db->kv = TAKE(image->kv);
    else
        db->kv = kv_new();
    db->kv->image = image;
    db->kv->is_dead = false;
    db->kv->max_bytes = (uint64_t) (config->max_bytes > 0 ? config->max_bytes
                                                          : (int64_t) LIMIT_STORE_MIB << 20);
    r = engine_init(&db->engine, &memory_ops, db->kv);
    if (r < 0) {
        engine_deinit(&db->engine);
        kv_free(db->kv);
        mem_free(db);
        return r;
    }
    *ret_db = db;
    return 0;
}

static void memory_close(void *ctx)
{
    MemoryDb *db = ctx;

    engine_deinit(&db->engine);
    if (db->kv->image)
        db->kv->image->kv = db->kv;
    else
        kv_free(db->kv);
    mem_free(db);
}

void memory_image_free(MemoryImage *image)
{
    if (image->kv)
        kv_free(image->kv);
    image->kv = NULL;
}

static int memory_sync(void *ctx)
{
    (void) ctx;
    return 0;
}

static void memory_stats(void *ctx, StoreStats *ret_stats)
{
    const MemoryDb *db = ctx;

    ret_stats->jobs = db->kv->trees[KV_JOBS].len;
    ret_stats->bytes = db->kv->bytes;
    ret_stats->is_full = !memory_has_room(db->kv, 0);
    ret_stats->bytes_free = ret_stats->is_full ? 0 : db->kv->max_bytes - db->kv->bytes;
}

const StoreDriver store_memory = {
    .name = "memory",
    .help = "memory:     this process's memory: gone when it ends",
    .blocks = false,
    .open = memory_open,
    .close = memory_close,
    .begin = engine_begin,
    .apply = engine_apply,
    .commit = engine_commit,
    .abort = engine_abort,
    .sync = memory_sync,
    .stats = memory_stats,
    .last_steady_ms = engine_last_steady_ms,
    .events = engine_events,
    .want_types = engine_want_types,
    .next_due = engine_next_due,
};
