/*
 * What went wrong in TLS, in words that say what to do about it. OpenSSL's own reasons are used
 * where there is nothing better.
 */
#include "net/tls_int.h"

#include "base/err.h"
#include "base/macro.h"
#include "base/text.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* OpenSSL's macros share a beginning with our own codes; so they are told apart, by readers too. */
#define OPENSSL(name) ERR_##name

typedef struct Reason {
    int code;
    const char *words;
} Reason;

#define NO_VERSION "no common version of TLS; 1.2 is the least"
#define REFUSED    "the peer refuses our certificate"

static const Reason reasons[] = {
    { SSL_R_WRONG_VERSION_NUMBER, "the peer does not speak TLS" },
    { SSL_R_UNSUPPORTED_PROTOCOL, NO_VERSION },
    { SSL_R_TLSV1_ALERT_PROTOCOL_VERSION, NO_VERSION },
    { SSL_R_NO_SHARED_CIPHER, "no common cipher" },
    { SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE,
      "the peer found no common cipher, or wants a certificate of ours" },
    { SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED, "the peer wants a certificate of ours" },
    { SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE, "the client showed no certificate" },
    { SSL_R_TLSV1_ALERT_UNKNOWN_CA, "the peer does not know the authority of our certificate" },
    { SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED, "the peer says that our certificate has expired" },
    { SSL_R_SSLV3_ALERT_BAD_CERTIFICATE, REFUSED },
    { SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE, REFUSED },
    { SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED, REFUSED },
    { SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN, REFUSED },
    { SSL_R_TLSV1_UNRECOGNIZED_NAME, "the peer does not know the name it was asked for" },
};

static const char *reason_words(unsigned long code)
{
    const char *words;

    if (code == 0)
        return "OpenSSL gives no reason";
    if (OPENSSL(SYSTEM_ERROR)(code))
        return err_sentence(-OPENSSL(GET_REASON)(code));
    for (size_t i = 0; OPENSSL(GET_LIB)(code) == OPENSSL(LIB_SSL) && i < ARRAY_LEN(reasons); i++)
        if (reasons[i].code == OPENSSL(GET_REASON)(code))
            return reasons[i].words;
    words = ERR_reason_error_string(code);
    return words ? words : "OpenSSL gives no words";
}

int tls_fail(const char *what)
{
    return fail(-ERR_TLS, "tls: %s%s%s", what, what[0] ? ": " : "", reason_words(ERR_get_error()));
}

/* A day of TIME, or "?". */
static const char *day_of(const ASN1_TIME *time, char out[static 16])
{
    struct tm tm;

    if (!time || ASN1_TIME_to_tm(time, &tm) != 1)
        return "?";
    (void) snprintf(out, 16, "%04d-%02d-%02d", (tm.tm_year + 1900) % 10000, (tm.tm_mon + 1) % 100,
                    tm.tm_mday % 100);
    return out;
}

/* The names that CERT is for, the first few, into OUT. */
static void list_names(X509 *cert, char *out, size_t size)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    size_t len = 0;
    int n = names ? sk_GENERAL_NAME_num(names) : 0;

    (void) snprintf(out, size, "nobody");
    for (int i = 0; i < n && len + 1 < size; i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        const ASN1_STRING *text = name->d.ia5;
        int written;

        if (name->type != GEN_DNS && name->type != GEN_IPADD)
            continue;
        written = name->type == GEN_IPADD
                      ? snprintf(out + len, size - len, "%san address", len > 0 ? ", " : "")
                      : snprintf(out + len, size - len, "%s%.*s", len > 0 ? ", " : "",
                                 MIN(ASN1_STRING_length(text), 80),
                                 (const char *) ASN1_STRING_get0_data(text));
        len += written > 0 ? (size_t) written : 0;
    }
    GENERAL_NAMES_free(names);
}

void tls_describe_certificate(X509_STORE_CTX *store, const char *name, char out[TLS_WHY_BYTES])
{
    X509 *leaf = X509_STORE_CTX_get0_cert(store);
    X509 *cert = X509_STORE_CTX_get_current_cert(store);
    int error = X509_STORE_CTX_get_error(store);
    const char *whose = name ? name : "the peer";
    const char *whom = cert && cert != leaf ? "an authority of " : "";
    char text[120];

    switch (error) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
        (void) snprintf(out, TLS_WHY_BYTES, "the certificate of %s%s expired on %s", whom, whose,
                        day_of(cert ? X509_get0_notAfter(cert) : NULL, text));
        return;
    case X509_V_ERR_CERT_NOT_YET_VALID:
        (void) snprintf(out, TLS_WHY_BYTES, "the certificate of %s%s is valid from %s only", whom,
                        whose, day_of(cert ? X509_get0_notBefore(cert) : NULL, text));
        return;
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
        (void) snprintf(out, TLS_WHY_BYTES, "the certificate of %s is self-signed and not trusted",
                        whose);
        return;
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
        (void) snprintf(out, TLS_WHY_BYTES,
                        "the certificate of %s was signed by an authority that is not trusted",
                        whose);
        return;
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        list_names(leaf, text, sizeof(text));
        (void) snprintf(out, TLS_WHY_BYTES, "the certificate of the peer is for %s, not for %s",
                        text, whose);
        return;
    }
    (void) snprintf(out, TLS_WHY_BYTES, "the certificate of %s%s: %s", whom, whose,
                    X509_verify_cert_error_string(error));
}
