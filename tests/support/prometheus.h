/* prometheus.h - reads Prometheus' text format 0.0.4, strictly.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TESTS_SUPPORT_PROMETHEUS_H
#define TESTS_SUPPORT_PROMETHEUS_H

/* NULL if the text is right, else what is wrong with which line (static; one thread). Asked for:
 * HELP, TYPE, then samples of one family, once; legal names, labels and escapes; no series twice;
 * counters end in _total and are not negative; histograms have ascending bounds, growing counts,
 * +Inf equal to _count, and _sum. */
const char *prometheus_check(const char *text);
/* Value of the series written just so ("name{a=\"b\"}"); NAN where there is none. */
double prometheus_value(const char *text, const char *series);

#endif
