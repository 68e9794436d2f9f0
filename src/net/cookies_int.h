/*
 * What the HTTP client does with a jar: lend it to a handle for a call, and keep it in its bounds.
 */
#pragma once

#include "net/cookies.h"

#include <curl/curl.h>

/* Let EASY use the jar for a call, and take it back; every lend is returned before the jar goes. */
void cookies_lend(HttpCookies *jar, CURL *easy);
void cookies_return(HttpCookies *jar, CURL *easy);

/* N Set-Cookie lines have gone into the jar: look at the bounds when that is due. */
void cookies_look(HttpCookies *jar, size_t n);
