/* openapi.h - the description of the interface for machines: OpenAPI 3.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SERVER_OPENAPI_H
#define SERVER_OPENAPI_H

#include "route.h"

/* Writes the whole document: a path for each pattern of the table of routes, an operation for each
 * route, and what bodies look like. */
void openapi_write(struct text *json);
/* Is there a description of what this handler takes and gives? A test asks for every route. */
bool openapi_knows(route_handler *handler);

#endif
