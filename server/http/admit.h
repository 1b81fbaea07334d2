/* admit.h - may this request come in? Asked when its head is there.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SERVER_ADMIT_H
#define SERVER_ADMIT_H

#include "app.h"

/* False: replied, 429 with Retry-After where the client has too many connections, or sends too many
 * requests. Asked of those that belong to no route; admit_request asks it as well. */
bool admit_client(struct http_request *request);

/* False: replied, as above, or 401 without a token that is known (where there are tokens), 403
 * where it lacks the scope or the route is not for this listener.
 *
 * Without `tokens`, what needs AUTH_ADMIN is served at a socket of the file system alone, whose
 * mode says who may connect; everything else is open. AUTH_ADMIN is never served at `listen`. */
bool admit_request(struct app *app, struct http_request *request, enum auth_scope scope);

#endif
