/*
 * For tests of sources that speak TLS: a certificate that vouches for itself, cert.pem with key.pem
 * in the current folder.
 */
#pragma once

#include "base/test.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stdio.h>

static inline bool make_certificate(void)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    FILE *cert_file = fopen("cert.pem", "w"), *key_file = fopen("key.pem", "w");
    bool is_made = key && cert && cert_file && key_file;

    if (is_made) {
        ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
        X509_gmtime_adj(X509_getm_notBefore(cert), -86400);
        X509_gmtime_adj(X509_getm_notAfter(cert), 86400);
        X509_set_pubkey(cert, key);
        X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC,
                                   (const unsigned char *) "lines", -1, -1, 0);
        X509_set_issuer_name(cert, X509_get_subject_name(cert));
        is_made = X509_sign(cert, key, EVP_sha256()) > 0 && PEM_write_X509(cert_file, cert) == 1 &&
                  PEM_write_PrivateKey(key_file, key, NULL, NULL, 0, NULL, NULL) == 1;
    }
    EXPECT(fclose(cert_file) == 0 && fclose(key_file) == 0);
    X509_free(cert);
    EVP_PKEY_free(key);
    return is_made;
}
