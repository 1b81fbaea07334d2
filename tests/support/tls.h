/* tls.h - certificates to test with, and a client that speaks TLS.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TESTS_SUPPORT_TLS_H
#define TESTS_SUPPORT_TLS_H

#include "support/daemon.h"

/* Writes a certificate of "localhost" with this serial number, signed by itself, and its key. */
void tls_write(const char *cert_path, const char *key_path, unsigned char serial);

struct tls;

/* A connection to a port of 127.0.0.1, under GnuTLS' priorities; the handshake is done. NULL: it
 * failed. The certificate is not verified. */
struct tls *tls_open(int port, const char *priorities);
/* Serial number of the certificate that was shown. */
int tls_serial(const struct tls *tls);
/* Sends bytes, and reads one reply. */
struct answer tls_ask(struct tls *tls, const void *bytes, size_t size);
void tls_close(struct tls *tls);

#endif
