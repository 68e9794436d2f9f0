/*
 * Fuzz: a cookies.txt. Whatever it says, the jar keeps to its bounds; what it saves is a
 * cookies.txt that another jar takes whole, but for what has expired meanwhile.
 */
#include "net/cookies.h"

#include "base/assert.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static size_t count_lines(Str text)
{
    size_t n = 0;

    for (size_t i = 0; i < text.len; i++)
        n += text.data[i] == '\n';
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const HttpCookiesOpts opts = { .cookies_max = 20, .per_domain_max = 8, .bytes_max = 2000 };
    AUTO(http_cookies_free) HttpCookies *jar = http_cookies_new(&opts);
    AUTO(http_cookies_free) HttpCookies *copy = http_cookies_new(NULL);
    AUTO(buf_deinit) Buf text = { 0 }, again = { 0 };

    ASSERT(jar && copy);
    (void) http_cookies_load(jar, str_from((const char *) data, len));
    http_cookies_save(jar, &text);
    ASSERT(count_lines(buf_str(&text)) <= opts.cookies_max);
    ASSERT(text.len <= opts.bytes_max + opts.cookies_max);
    ASSERT(http_cookies_load(copy, buf_str(&text)) == 0);
    http_cookies_save(copy, &again);
    ASSERT(count_lines(buf_str(&again)) <= count_lines(buf_str(&text)));
    http_cookies_end_session(jar);
    ASSERT(http_cookies_count(jar) <= count_lines(buf_str(&text)));
    return 0;
}
