/* http_tls.c - the certificate that the server shows, by GnuTLS.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * The library asks for the certificate in each handshake, through a function that gets no context:
 * so the one in use is the process's. A reload puts another in its place; connections that are
 * there keep theirs. The old one goes at a later reload, when no handshake can hold it any more,
 * for none outlives header_timeout_ms.
 */
#include "http/http_private.h"

#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"

#define MAX_CHAIN   16
#define KEEP_US     60000000
#define KEY_ID_SIZE 64

struct certificate {
    struct certificate *next; /* that was in use before */
    gnutls_pcert_st chain[MAX_CHAIN];
    unsigned count;
    gnutls_privkey_t key;
    int64_t retired_us;
};

static _Atomic(struct certificate *) in_use;

static void destroy(struct certificate *certificate)
{
    if (!certificate)
        return;
    for (unsigned i = 0; i < certificate->count; i++)
        gnutls_pcert_deinit(&certificate->chain[i]);
    if (certificate->key)
        gnutls_privkey_deinit(certificate->key);
    free(certificate);
}

static int load_chain(struct certificate *certificate, const char *path, struct lq_error *error)
{
    gnutls_datum_t pem = {NULL, 0};
    unsigned count = MAX_CHAIN;
    int code = gnutls_load_file(path, &pem);

    if (code < 0)
        return error_set(error, LQ_ERR_IO, "tls_cert %s: it cannot be read", path);
    code =
        gnutls_pcert_list_import_x509_raw(certificate->chain, &count, &pem, GNUTLS_X509_FMT_PEM, 0);
    gnutls_free(pem.data);
    if (code < 0)
        return error_set(error, LQ_ERR_FORMAT, "tls_cert %s: no certificates in PEM: %s", path,
                         gnutls_strerror(code));
    certificate->count = count;
    return LQ_OK;
}

static int load_key(struct certificate *certificate, const char *path, struct lq_error *error)
{
    gnutls_datum_t pem = {NULL, 0};
    int code = gnutls_load_file(path, &pem);

    if (code < 0)
        return error_set(error, LQ_ERR_IO, "tls_key %s: it cannot be read", path);
    code = gnutls_privkey_init(&certificate->key);
    if (code >= 0)
        code = gnutls_privkey_import_x509_raw(certificate->key, &pem, GNUTLS_X509_FMT_PEM, NULL, 0);
    gnutls_memset(pem.data, 0, pem.size);
    gnutls_free(pem.data);
    if (code < 0)
        return error_set(error, LQ_ERR_FORMAT, "tls_key %s: no private key in PEM: %s", path,
                         gnutls_strerror(code));
    return LQ_OK;
}

/* Does the key belong to the first certificate? */
static bool is_pair(const struct certificate *certificate)
{
    unsigned char ids[2][KEY_ID_SIZE];
    size_t sizes[2] = {KEY_ID_SIZE, KEY_ID_SIZE};
    gnutls_pubkey_t public;
    bool same;

    if (gnutls_pubkey_init(&public) < 0)
        return false;
    same = gnutls_pubkey_import_privkey(public, certificate->key, 0, 0) >= 0 &&
           gnutls_pubkey_get_key_id(public, 0, ids[0], &sizes[0]) >= 0 &&
           gnutls_pubkey_get_key_id(certificate->chain[0].pubkey, 0, ids[1], &sizes[1]) >= 0 &&
           sizes[0] == sizes[1] && memcmp(ids[0], ids[1], sizes[0]) == 0;
    gnutls_pubkey_deinit(public);
    return same;
}

/* When the first certificate ends, in seconds since 1970; -1: unknown. */
static int64_t expiry(struct certificate *certificate)
{
    gnutls_x509_crt_t first;
    int64_t time;

    if (gnutls_pcert_export_x509(&certificate->chain[0], &first) < 0)
        return -1;
    time = gnutls_x509_crt_get_expiration_time(first);
    gnutls_x509_crt_deinit(first);
    return time;
}

static void free_retired(struct certificate *certificate, int64_t before_us)
{
    while (certificate->next && certificate->next->retired_us >= before_us)
        certificate = certificate->next;
    while (certificate->next) {
        struct certificate *old = certificate->next;

        certificate->next = old->next;
        destroy(old);
    }
}

int http_tls_load(const struct config *config, struct metrics *metrics, struct lq_error *error)
{
    struct certificate *certificate = calloc(1, sizeof(*certificate)), *old;
    int64_t now_us = clock_now_us();
    int status = certificate ? load_chain(certificate, config->tls_cert, error)
                             : error_set(error, LQ_ERR_MEMORY, "out of memory");

    if (status == LQ_OK)
        status = load_key(certificate, config->tls_key, error);
    if (status == LQ_OK && !is_pair(certificate))
        status = error_set(error, LQ_ERR_INVALID, "tls_key %s does not belong to tls_cert %s",
                           config->tls_key, config->tls_cert);
    if (status != LQ_OK) {
        destroy(certificate);
        return status;
    }
    metrics_gauge_set(metrics, METRICS_TLS_EXPIRY, expiry(certificate));
    old = atomic_load(&in_use);
    if (old)
        old->retired_us = now_us;
    certificate->next = old;
    atomic_store(&in_use, certificate);
    free_retired(certificate, now_us - 2 * config->header_timeout_ms * 1000 - KEEP_US);
    return LQ_OK;
}

void http_tls_free(void)
{
    struct certificate *certificate = atomic_exchange(&in_use, NULL);

    if (!certificate)
        return;
    free_retired(certificate, INT64_MAX);
    destroy(certificate);
}

int http_tls_choose(gnutls_session_t session, const struct gnutls_cert_retr_st *info,
                    gnutls_pcert_st **ret_chain, unsigned *ret_count, gnutls_ocsp_data_st **ocsp,
                    unsigned *ocsp_count, gnutls_privkey_t *ret_key, unsigned *flags)
{
    struct certificate *certificate = atomic_load(&in_use);

    (void)session;
    (void)info;
    *ocsp = NULL;
    *ocsp_count = 0;
    *flags = 0; /* it stays ours */
    if (!certificate)
        return -1;
    *ret_chain = certificate->chain;
    *ret_count = certificate->count;
    *ret_key = certificate->key;
    return 0;
}
