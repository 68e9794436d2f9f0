/*
 * The face of all stores: which driver a URL means, and whether a call goes to the gate of a store
 * on this machine or to a store elsewhere, which takes chains as they are.
 */
#include "store/store.h"

#include "base/err.h"
#include "base/macro.h"
#include "base/mem.h"
#include "gen/stores.h"
#include "store/gate_int.h"

#include <stdio.h>
#include <string.h>

/* ---- operations ------------------------------------------------------------------------------ */

void store_op_deinit(StoreOp *op)
{
    ASSERT(!op->is_parked);
    buf_deinit(&op->out);
}

int store_op_fail(const StoreOp *op)
{
    ASSERT(op->r < 0);
    return op->why[0] ? fail(op->r, "%s", op->why) : fail(op->r, "%s", err_sentence(op->r));
}

/* ---- which ----------------------------------------------------------------------------------- */

static bool has_scheme(const StoreDriver *driver, Str scheme)
{
    for (const char *const *other = driver->schemes; other && *other; other++) {
        if (str_eq_c(scheme, *other))
            return true;
    }
    return false;
}

int store_find_driver(Str url, const StoreDriver **ret_driver, Str *ret_path)
{
    Str path, scheme = str_cut(url, ':', &path);
    char known[300] = "";
    size_t len = 0;

    for (size_t i = 0; i < stores_count; i++) {
        const StoreDriver *driver = stores_table[i];
        int help = (int) strcspn(driver->help, " ");

        if (scheme.len < url.len && str_eq_c(scheme, driver->name) && !driver->remote) {
            *ret_driver = driver;
            *ret_path = path;
            return 0;
        }
        if (scheme.len < url.len && has_scheme(driver, scheme)) {
            *ret_driver = driver;
            *ret_path = url;
            return 0;
        }
        len += (size_t) snprintf(known + len, sizeof(known) - len, "%s%.*s", i > 0 ? ", " : "",
                                 help, driver->help);
        len = MIN(len, sizeof(known) - 1);
    }
    /* A URL may hold a password: what it is shows before the colon. */
    if (scheme.len < url.len)
        return fail(-ERR_USAGE, "store: \"%.*s:\" is none of %s",
                    (int) MIN(scheme.len, (size_t) 40), scheme.data, known);
    return fail(-ERR_USAGE, "store: \"%.*s\" is none of %s", (int) MIN(url.len, (size_t) 100),
                url.data ? url.data : "", known);
}

/* ---- life ------------------------------------------------------------------------------------ */

int store_open(const StoreOpts *opts, Store **ret_store)
{
    Store *store;
    int r;

    if (!opts->driver->remote)
        return gate_open(opts, ret_store);
    store = mem_new(Store);
    store->driver = opts->driver;
    r = opts->driver->remote->open(opts, &store->db);
    if (r < 0) {
        mem_free(store);
        return wrap(r, "store %s", opts->driver->name);
    }
    *ret_store = store;
    return 0;
}

void store_close(Store *store)
{
    if (store && store->driver->remote) {
        store->driver->remote->close(store->db);
        mem_free(store);
        return;
    }
    gate_close(store);
}

/* ---- calls ----------------------------------------------------------------------------------- */

int store_run(Store *store, StoreOp *chain)
{
    return store->driver->remote ? store->driver->remote->run(store->db, chain)
                                 : gate_run(store, chain);
}

StoreNow store_now(const Store *store)
{
    return store->driver->remote ? store->driver->remote->now(store->db) : gate_now(store);
}

void store_stats(Store *store, StoreStats *ret_stats)
{
    if (store->driver->remote)
        store->driver->remote->stats(store->db, ret_stats);
    else
        gate_stats(store, ret_stats);
}

const char *store_driver_name(const Store *store)
{
    return store->driver->name;
}

void store_fit_ids(Store *store, Str key, JobId *ids, size_t n)
{
    if (store->driver->remote)
        store->driver->remote->fit_ids(store->db, key, ids, n);
}

size_t store_notes(Store *store, StoreNote *notes, size_t max)
{
    return store->driver->remote ? store->driver->remote->notes(store->db, notes, max) : 0;
}

void store_want_events(Store *store, bool wants)
{
    if (store->driver->remote)
        store->driver->remote->want_events(store->db, wants);
}

bool store_is_remote(const Store *store)
{
    return store->driver->remote != NULL;
}
