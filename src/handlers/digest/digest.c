/*
 * digest: SHA-256 over data, as often as asked.
 *
 * The honest stand-in for heavy work: it burns processor time in proportion to `rounds` (some
 * 0.3 microseconds each with SHA instructions) and touches nothing else. Round one hashes the
 * bytes of `data`; each further round hashes the 32 bytes of the round before.
 *
 * It runs on the offload pool, and looks every DIGEST_CHECK rounds whether it should stop.
 */
#include "base/err.h"

#include <sluice/handler.h>

#include <openssl/evp.h>

#define DIGEST_BYTES 32
#define DIGEST_CHECK 4096

typedef struct DigestArgs {
    Str data;
    int64_t rounds;
} DigestArgs;

static const SchemaField digest_fields[] = {
    FIELD_STR(DigestArgs, data, "what to hash", .range = RANGE(0, 1 << 20), .positional = 1),
    FIELD_INT(DigestArgs, rounds, "how often SHA-256 is applied", .range = RANGE(1, 1000000),
              .default_text = "1000"),
};
static const Schema digest_args = SCHEMA(DigestArgs, digest_fields, "Arguments of digest.");
static const SchemaField digest_result = ITEM(STR, .pattern = SCHEMA_HEX, .range = RANGE(64, 64),
                                              .summary = "the last digest, in hexadecimal");

/* Apply SHA-256 ROUNDS times, from DATA on. */
static int digest_rounds(Task *task, EVP_MD_CTX *context, const DigestArgs *args,
                         unsigned char digest[DIGEST_BYTES])
{
    const void *from = args->data.data;
    size_t len = args->data.len;

    for (int64_t i = 0; i < args->rounds; i++) {
        if (i % DIGEST_CHECK == 0 && task_is_cancelled(task))
            return fail(-ECANCELED, "stopped after %lld of %lld rounds", (long long) i,
                        (long long) args->rounds);
        if (!EVP_DigestInit_ex(context, NULL, NULL) || !EVP_DigestUpdate(context, from, len) ||
            !EVP_DigestFinal_ex(context, digest, NULL))
            return fail(-ERR_HANDLER, "the crypto library refused SHA-256");
        from = digest;
        len = DIGEST_BYTES;
    }
    return 0;
}

static int digest_run(Task *task, const void *args, JsonWriter *result)
{
    static const char digits[] = "0123456789abcdef";
    unsigned char digest[DIGEST_BYTES] = { 0 };
    char hex[2 * DIGEST_BYTES];
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    int r = -ERR_HANDLER;

    if (context && EVP_DigestInit_ex(context, EVP_sha256(), NULL))
        r = digest_rounds(task, context, args, digest);
    EVP_MD_CTX_free(context);
    if (r < 0)
        return wrap(r, "digest");

    for (size_t i = 0; i < DIGEST_BYTES; i++) {
        hex[2 * i] = digits[digest[i] >> 4];
        hex[2 * i + 1] = digits[digest[i] & 15];
    }
    json_write_str(result, str_from(hex, sizeof(hex)));
    return 0;
}

extern const Handler handler_digest;
const Handler handler_digest = {
    .type = "digest",
    .summary = "Applies SHA-256 to data, as often as asked.",
    .details = "Processor-bound work of a known size, for tests, benchmarks and trying things out.",
    .args = &digest_args,
    .result = &digest_result,
    .cost = HANDLER_BURNS,
    .run = digest_run,
};
