/* tls.c - certificates to test with, and a client that speaks TLS.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "support/files.h"
#include "support/tls.h"

#include <check.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct tls {
    gnutls_session_t session;
    gnutls_certificate_credentials_t credentials;
    int fd;
};

static void write_file(const char *path, const gnutls_datum_t *pem)
{
    file_write(path, pem->data, pem->size);
    chmod(path, 0600);
}

void tls_write(const char *cert_path, const char *key_path, unsigned char serial)
{
    gnutls_x509_privkey_t key;
    gnutls_x509_crt_t cert;
    gnutls_datum_t pem;

    gnutls_x509_privkey_init(&key);
    ck_assert_int_eq(gnutls_x509_privkey_generate(
                         key, GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0),
                     0);
    gnutls_x509_crt_init(&cert);
    gnutls_x509_crt_set_version(cert, 3);
    gnutls_x509_crt_set_serial(cert, &serial, 1);
    gnutls_x509_crt_set_activation_time(cert, time(NULL) - 3600);
    gnutls_x509_crt_set_expiration_time(cert, time(NULL) + 86400);
    gnutls_x509_crt_set_dn_by_oid(cert, GNUTLS_OID_X520_COMMON_NAME, 0, "localhost", 9);
    gnutls_x509_crt_set_key(cert, key);
    ck_assert_int_eq(gnutls_x509_crt_sign2(cert, cert, key, GNUTLS_DIG_SHA256, 0), 0);
    ck_assert_int_eq(gnutls_x509_crt_export2(cert, GNUTLS_X509_FMT_PEM, &pem), 0);
    write_file(cert_path, &pem);
    gnutls_free(pem.data);
    ck_assert_int_eq(gnutls_x509_privkey_export2(key, GNUTLS_X509_FMT_PEM, &pem), 0);
    write_file(key_path, &pem);
    gnutls_free(pem.data);
    gnutls_x509_crt_deinit(cert);
    gnutls_x509_privkey_deinit(key);
}

struct tls *tls_open(int port, const char *priorities)
{
    struct daemon daemon = {.port = port};
    struct tls *tls = calloc(1, sizeof(*tls));
    int code;

    ck_assert_ptr_nonnull(tls);
    tls->fd = daemon_connect(&daemon);
    gnutls_certificate_allocate_credentials(&tls->credentials);
    gnutls_init(&tls->session, GNUTLS_CLIENT);
    gnutls_credentials_set(tls->session, GNUTLS_CRD_CERTIFICATE, tls->credentials);
    ck_assert_int_eq(gnutls_priority_set_direct(tls->session, priorities, NULL), 0);
    gnutls_transport_set_int(tls->session, tls->fd);
    do
        code = gnutls_handshake(tls->session);
    while (code < 0 && !gnutls_error_is_fatal(code));
    if (code == 0)
        return tls;
    tls_close(tls);
    return NULL;
}

int tls_serial(const struct tls *tls)
{
    unsigned count;
    const gnutls_datum_t *shown = gnutls_certificate_get_peers(tls->session, &count);
    gnutls_x509_crt_t cert;
    unsigned char serial[32];
    size_t size = sizeof(serial);

    ck_assert_ptr_nonnull(shown);
    gnutls_x509_crt_init(&cert);
    ck_assert_int_eq(gnutls_x509_crt_import(cert, &shown[0], GNUTLS_X509_FMT_DER), 0);
    gnutls_x509_crt_get_serial(cert, serial, &size);
    gnutls_x509_crt_deinit(cert);
    return serial[size - 1];
}

struct answer tls_ask(struct tls *tls, const void *bytes, size_t size)
{
    enum { ROOM = 1 << 16 };
    struct answer answer = {.head = calloc(1, ROOM)};
    size_t sent = 0, got = 0;
    ssize_t step = 0;

    while (sent < size) {
        step = gnutls_record_send(tls->session, (const char *)bytes + sent, size - sent);
        if (step < 0 && gnutls_error_is_fatal((int)step))
            break;
        sent += step > 0 ? (size_t)step : 0;
    }
    while (got + 1 < ROOM) {
        char *end = strstr(answer.head, "\r\n\r\n");
        const char *length = strstr(answer.head, "Content-Length: ");

        if (end && length &&
            got >= (size_t)(end + 4 - answer.head) + strtoul(length + 16, NULL, 10))
            break;
        step = gnutls_record_recv(tls->session, answer.head + got, ROOM - 1 - got);
        if (step == 0 || (step < 0 && gnutls_error_is_fatal((int)step)))
            break;
        got += step > 0 ? (size_t)step : 0;
    }
    sscanf(answer.head, "HTTP/1.1 %d", &answer.status);
    answer.body = strstr(answer.head, "\r\n\r\n");
    answer.body = answer.body ? answer.body + 4 : answer.head + got;
    answer.body_size = got - (size_t)(answer.body - answer.head);
    return answer;
}

void tls_close(struct tls *tls)
{
    close(tls->fd);
    gnutls_deinit(tls->session);
    gnutls_certificate_free_credentials(tls->credentials);
    free(tls);
}
