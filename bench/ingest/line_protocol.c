/*
 * How fast line protocol is read: one figure a run, in MB/s of one core.
 *
 *   line_protocol sensor    one tag, one field:     temperature,sensor=s17 value=21.53 16…
 *   line_protocol server    Telegraf's cpu, four tags and ten fields of seventeen digits
 *   line_protocol text      a log line: a string of 120 bytes with escapes, four fields more
 *   line_protocol KIND rows the same, and made into rows in parcels: decode_all
 */
#include "codec/line_protocol.h"
#include "rows/decode.h"

#include <stdio.h>
#include <time.h>

#define TEXT_BYTES (1 << 20)
#define SECONDS    1.0

/* Processor time: other programs do not count. */
static double seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}

static void add_line(Buf *out, const char *kind, unsigned i)
{
    long long time = 1600000000000000000LL + i * 1000003LL;

    if (strcmp(kind, "sensor") == 0) {
        buf_printf(out, "temperature,sensor=s%u value=%u.%02u %lld\n", i % 1000, 15 + i % 20,
                   i * 7 % 100, time);
    } else if (strcmp(kind, "server") == 0) {
        buf_printf(out, "cpu,cpu=cpu%u,datacenter=eu-west-1,host=host-%u.example.com,rack=%u ",
                   i % 8, i % 100, i % 40);
        for (unsigned k = 0; k < 10; k++)
            buf_printf(out, "%susage_%c=%.15f", k ? "," : "", 'a' + k,
                       (i * 7919 + k * 31) % 10007 / 101.0);
        buf_printf(out, " %lld\n", time);
    } else {
        buf_printf(
            out,
            "log,service=api,level=warn message=\"GET /items/%u?q=\\\"a b\\\" took longer than "
            "it should have, namely %u ms; the client \\\"curl\\\" gave up, and so did we\",status=%ui,"
            "bytes=%uu,took=%u.%03u,cached=%c %lld\n",
            i, i % 900, 200 + i % 300, i * 37, i % 10, i % 1000, i & 1 ? 't' : 'f', time);
    }
}

/* Read TEXT once; returns its lines, 0 when one is refused. */
static size_t read_points(LineReader *reader, Str text)
{
    LinePoint point;
    size_t lines = 0;
    int r;

    line_reader_begin(reader, text, 1);
    while ((r = line_reader_next(reader, &point)) == 0)
        lines++;
    return r == LINE_END ? lines : 0;
}

typedef struct Rows {
    ParcelPool pool;
    size_t n;
} Rows;

static int take(void *ctx, Parcel *parcel)
{
    Rows *rows = ctx;

    rows->n += parcel->n_dead > 0 ? 0 : parcel_count(parcel);
    parcel_free(&rows->pool, parcel);
    return 0;
}

int main(int argc, char **argv)
{
    bool has_rows = argc > 2 && strcmp(argv[2], "rows") == 0;
    DecodeOpts opts = { .format = DECODE_INFLUX };
    Shapes *shapes = shapes_new();
    AUTO(line_reader_deinit) LineReader reader;
    AUTO(payload_unref) Payload *payload = NULL;
    double began, spent = 0;
    size_t bytes = 0, lines = 0;
    Rows rows = { 0 };
    Decoder *decoder;
    Buf text = { 0 };

    if (argc < 2)
        return 2;
    for (unsigned i = 0; text.len < TEXT_BYTES; i++)
        add_line(&text, argv[1], i);
    payload = payload_take(&text);
    decoder = decoder_new(shapes, &rows.pool, &opts);
    line_reader_init(&reader);
    began = seconds();
    while (spent < SECONDS) {
        if (has_rows && decode_all(decoder, payload, NULL, 0, 0, take, &rows) < 0)
            return 1;
        lines = has_rows ? rows.n : lines + read_points(&reader, buf_str(&payload->bytes));
        bytes += payload->bytes.len;
        spent = seconds() - began;
    }
    printf("%.1f\n", (double) bytes / spent / 1e6);
    fprintf(stderr, "%.1f ns a line, %.2f M lines/s\n", spent * 1e9 / (double) lines,
            (double) lines / spent / 1e6);
    decoder_free(decoder);
    shapes_free(shapes);
    parcel_pool_deinit(&rows.pool);
    return 0;
}
