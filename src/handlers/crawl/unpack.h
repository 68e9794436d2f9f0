/*
 * Gzip files: sitemaps come as sitemap.xml.gz, a file of that kind and no encoding of HTTP.
 */
#pragma once

#include "base/text.h"

/*
 * The content of BODY when that is a gzip file, in OUT; BODY itself otherwise. 0, -ERR_TOO_LARGE
 * for more than BYTES_MAX, -ERR_INVALID for a broken file, -ERR_UNSUPPORTED without zlib.
 */
MUST int unpack_gzip(Str body, size_t bytes_max, Buf *out, Str *ret_body);
