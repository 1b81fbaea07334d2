/* report.c - a training run as one self-contained page: curves, levels over histograms, errors.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "cli/report.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

enum { WIDTH = 760, HEIGHT = 240, LEFT = 66, BOTTOM = 26, SMALL_WIDTH = 360, SMALL_HEIGHT = 110 };

/* In order; one that was there already has been trained again. */
static bool add_point(struct report *r, const struct report_point *point)
{
    while (r->count > 0 && r->points[r->count - 1].epoch >= point->epoch)
        r->count--;
    if (r->count == r->room) {
        int room = 2 * r->room + 16;
        struct report_point *points = realloc(r->points, (size_t)room * sizeof(*points));

        if (!points)
            return false;
        r->points = points;
        r->room = room;
    }
    r->points[r->count++] = *point;
    return true;
}

static double number_of(const json_t *event, const char *key, double missing)
{
    const json_t *value = json_object_get(event, key);

    return json_is_number(value) ? json_number_value(value) : missing;
}

bool report_read_log(struct report *r, const char *path, int64_t steps)
{
    char line[1024];
    FILE *file = fopen(path, "re");
    bool ok = file;

    while (ok && fgets(line, sizeof(line), file)) {
        json_t *event = json_loads(line, 0, NULL);
        const char *kind = json_string_value(json_object_get(event, "event"));
        struct report_point point = {number_of(event, "epoch", 0), number_of(event, "loss", 0),
                                     number_of(event, "accuracy", 0), number_of(event, "rate", 0),
                                     number_of(event, "top1", -1)};

        if (kind && strcmp(kind, "epoch") == 0 && point.epoch >= 1 &&
            number_of(event, "step", 0) <= (double)steps)
            ok = add_point(r, &point);
        json_decref(event);
    }
    if (file)
        fclose(file);
    return ok;
}

bool report_add(struct report *r, const struct lq_train_event *e)
{
    struct report_point point = {(double)e->epoch, e->loss, e->accuracy, e->rate, e->top1};

    if (e->kind == LQ_TRAIN_EPOCH)
        return add_point(r, &point);
    if (e->kind == LQ_TRAIN_FINISHED) {
        r->top1 = e->top1;
        if (r->count > 0) /* the last epoch's network */
            r->points[r->count - 1].top1 = e->top1;
        r->layers = calloc((size_t)e->layer_count + 1, sizeof(*r->layers));
        if (!r->layers)
            return false;
        if (e->layer_count > 0)
            memcpy(r->layers, e->layers, (size_t)e->layer_count * sizeof(*r->layers));
        r->layer_count = e->layer_count;
    }
    return true;
}

void report_deinit(struct report *report)
{
    free(report->points);
    free(report->layers);
}

static void put_text(FILE *file, const char *text)
{
    for (; *text; text++)
        switch (*text) {
        case '<':
            fputs("&lt;", file);
            break;
        case '&':
            fputs("&amp;", file);
            break;
        default:
            fputc(*text, file);
        }
}

/* One of a point's numbers. */
typedef double pick(const struct report_point *point);
static double pick_loss(const struct report_point *p)
{
    return p->loss;
}
static double pick_accuracy(const struct report_point *p)
{
    return p->accuracy;
}
static double pick_top1(const struct report_point *p)
{
    return p->top1;
}
static double pick_rate(const struct report_point *p)
{
    return p->rate;
}

struct frame {
    double low, high;   /* of the numbers */
    double first, last; /* epochs */
};

static void widen(const struct report *r, pick *number, struct frame *frame)
{
    for (int i = 0; i < r->count; i++) {
        double y = number(&r->points[i]);

        if (y < 0)
            continue;
        frame->low = y < frame->low ? y : frame->low;
        frame->high = y > frame->high ? y : frame->high;
    }
}

static double x_of(const struct frame *f, double epoch)
{
    return LEFT +
           (WIDTH - LEFT - 10) * (epoch - f->first) / (f->last > f->first ? f->last - f->first : 1);
}

static double y_of(const struct frame *f, double y)
{
    return 10 + (HEIGHT - BOTTOM - 10) * (f->high - y) / (f->high > f->low ? f->high - f->low : 1);
}

static void put_line(FILE *file, const struct report *r, const struct frame *f, pick *number,
                     const char *class)
{
    fprintf(file, "<polyline class=\"%s\" points=\"", class);
    for (int i = 0; i < r->count; i++)
        if (number(&r->points[i]) >= 0)
            fprintf(file, "%.1f,%.1f ", x_of(f, r->points[i].epoch),
                    y_of(f, number(&r->points[i])));
    fputs("\"/>\n", file);
}

/* Up to two curves on one scale. */
static void put_chart(FILE *file, const struct report *r, const char *title, pick *first,
                      pick *second)
{
    struct frame f = {1e300, -1e300, r->points[0].epoch, r->points[r->count - 1].epoch};

    widen(r, first, &f);
    if (second)
        widen(r, second, &f);
    fprintf(file, "<h2>%s</h2>\n<svg viewBox=\"0 0 %d %d\" width=\"%d\">\n", title, WIDTH, HEIGHT,
            WIDTH);
    for (int i = 0; i <= 4; i++) {
        double y = f.low + (f.high - f.low) * i / 4;

        fprintf(file,
                "<line class=\"grid\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/><text x=\"%d\" "
                "y=\"%.1f\" class=\"axis\">%.3g</text>\n",
                LEFT, WIDTH - 10, y_of(&f, y), y_of(&f, y), LEFT - 5, y_of(&f, y) + 4, y);
    }
    fprintf(
        file,
        "<text x=\"%d\" y=\"%d\">epoch %g</text><text x=\"%d\" y=\"%d\" class=\"axis\">%g</text>\n",
        LEFT, HEIGHT - 6, f.first, WIDTH - 10, HEIGHT - 6, f.last);
    put_line(file, r, &f, first, "a");
    if (second)
        put_line(file, r, &f, second, "b");
    fputs("</svg>\n", file);
}

/* Bars of a histogram, each level a line; low: of the first bin. */
static void put_histogram(FILE *file, const int64_t *bins, const float *levels, int count,
                          double low)
{
    double width = (double)SMALL_WIDTH / LQ_TRAIN_BINS;
    int64_t most = 1;

    for (int i = 0; i < LQ_TRAIN_BINS; i++)
        most = bins[i] > most ? bins[i] : most;
    fprintf(file, "<svg viewBox=\"0 0 %d %d\" width=\"%d\">", SMALL_WIDTH, SMALL_HEIGHT,
            SMALL_WIDTH);
    for (int i = 0; i < LQ_TRAIN_BINS; i++) {
        double height = (double)bins[i] / (double)most * (SMALL_HEIGHT - 4);

        fprintf(file, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"/>", width * i,
                SMALL_HEIGHT - height, width - 1, height);
    }
    for (int i = 0; i < count; i++) {
        double x = ((double)levels[i] - low) / (LQ_TRAIN_SPAN - low) * SMALL_WIDTH;

        fprintf(file, "<line class=\"level\" x1=\"%.1f\" x2=\"%.1f\" y1=\"0\" y2=\"%d\"/>", x, x,
                SMALL_HEIGHT);
    }
    fputs("</svg>", file);
}

static void put_bits(FILE *file, int bits, double error)
{
    if (bits == 0)
        fputs("<td>float", file);
    else
        fprintf(file, "<td>%d bit%s<br>error %.4f", bits, bits > 1 ? "s" : "", error);
}

static void put_layers(FILE *file, const struct report *r)
{
    fputs(
        "<h2>Quantized layers</h2>\n<p>Weights relative to the top level of their output channel, "
        "activations to that of their layer, in the last batch; lines are the levels (of weights: "
        "the channels' mean). Errors are |x - q(x)|&sup2; / |x|&sup2;. Activations: the bin of "
        "zeros and below is left out of the height.</p>\n"
        "<table><tr><th>layer<th>weights<th>activations<th colspan=2></tr>\n",
        file);
    for (int i = 0; i < r->layer_count; i++) {
        struct lq_train_layer layer = r->layers[i];

        layer.activation_bins[0] = 0;
        fputs("<tr><td>", file);
        put_text(file, layer.name);
        put_bits(file, layer.bits.weight_bits, layer.weight_error);
        put_bits(file, layer.bits.activation_bits, layer.activation_error);
        fputs("<td>", file);
        put_histogram(file, layer.weight_bins, layer.weight_levels, 1 << layer.bits.weight_bits,
                      -LQ_TRAIN_SPAN);
        fputs("<td>", file);
        if (layer.bits.activation_bits)
            put_histogram(file, layer.activation_bins, layer.activation_levels,
                          1 << layer.bits.activation_bits, 0);
        fputs("</tr>\n", file);
    }
    fputs("</table>\n", file);
}

int report_write(const struct report *r, const char *title, const char *path)
{
    FILE *file = fopen(path, "we");
    bool failed;

    if (!file)
        return cli_fail(CLI_FAILED, "%s: cannot open: %s", path, strerror(errno));
    fputs("<!doctype html><meta charset=\"utf-8\"><title>", file);
    put_text(file, title);
    fputs("</title><style>body{font:15px sans-serif;max-width:1100px;margin:2em auto;color:#222}"
          "svg{background:#fafafa}text{font-size:12px}.axis{text-anchor:end}polyline{fill:none;"
          "stroke-width:2}.a{stroke:#06c;color:#06c}.b{stroke:#c50;color:#c50}.grid{stroke:#ddd}"
          "rect{fill:#9bd}.level{stroke:#c00}td,th{padding:2px 10px;text-align:left;"
          "vertical-align:middle;white-space:nowrap}</style>\n<h1>",
          file);
    put_text(file, title);
    fputs("</h1>\n", file);
    if (r->top1 >= 0)
        fprintf(file, "<p>Final network: top-1 %.2f %%</p>\n", r->top1);
    if (r->count > 0) {
        put_chart(file, r, "Loss", pick_loss, NULL);
        put_chart(file, r,
                  "Top-1, percent: <span class=\"a\">training images as augmented</span>, "
                  "<span class=\"b\">evaluated</span>",
                  pick_accuracy, pick_top1);
        put_chart(file, r, "Learning rate", pick_rate, NULL);
    }
    if (r->layer_count > 0)
        put_layers(file, r);
    failed = ferror(file) != 0;
    if (fclose(file) != 0 || failed)
        return cli_fail(CLI_FAILED, "%s: cannot write", path);
    return CLI_OK;
}
