/* finetune.c - lqnet finetune: fits a network's quantizers to the images that it meets.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli.h"

static const struct cli_option options[] = {
    {"data", 'd', "DATA", "images to learn from (required; see lqnet help evaluate)"},
    {"output", 'o', "OUT.lq", "the file to write (required)"},
    {"mode", 'm', "MODE", "calibrate (default), quantizers or joint"},
    {"split", 0, "NAME", "part of DATA: train (default) or test"},
    {"unlabelled", 'u', NULL, "do not look at the classes of the images"},
    {"guard", 'g', "DATA", "images to judge by, a test split; default: held out of DATA"},
    {"hold-out", 0, "N", "every N-th image of DATA is one of these; default 5"},
    {"bound", 0, "POINTS", "what may be lost, of 100; default 0.2"},
    {"significance", 0, "P", "of the test with labels, 0 to 0.5; default 0.05"},
    {"force", 0, NULL, "write OUT.lq whatever the guard says"},
    {"images", 0, "N", "learn from at most so many; default: calibrate 2000, else all"},
    {"steps", 0, "WHAT", "of the calibration: statistics, bases, or both"},
    {"keep", 0, "X", "part of the old BatchNorm statistics, 0 to 1"},
    {"augmentation", 0, "LIST", "default: what the network was trained with"},
    {"epochs", 'e', "N", "of training; default 5"},
    {"batch", 0, "N", "images of a step; default 100"},
    {"lr", 0, "RATE", "learning rate"},
    {"basis-rate", 0, "X", "of bases, a part of it"},
    {"teacher", 0, "NET.lq", "learn from this network's answers; default: the calibrated one"},
    {"distillation", 0, "X", "the teacher's part of the loss; default 0 with labels, else 1"},
    {"temperature", 0, "X", "of the teacher's answers; default 3"},
    {"latent", 0, "NET.lq",
     "for joint, the float network behind NET.lq; default: its decoded weights"},
    {"latent-output", 0, "OUT.lq", "where to write it as trained"},
    {"seed", 0, "N", "of order and augmentation; default 1"},
    {"threads", 0, "N", "default: one for each CPU"},
    {"json", 0, NULL, "print the report as JSON"},
    {NULL, 0, NULL, NULL}};

static volatile sig_atomic_t interrupted;

static void on_interrupt(int signal_number)
{
    (void)signal_number;
    interrupted = 1;
}

struct finetuning {
    const struct cli_arguments *arguments;
    struct lq_finetune_options options;
    struct lq_guard guard;
    struct lq_dataset *data, *other; /* as opened; other NULL: the guard's images are held out */
    struct lq_dataset *learned, *judged; /* parts of them */
    struct lq_model *model, *tuned, *latent;
    struct lq_finetune_report report;
    struct lq_comparison comparison;
    struct lq_verdict verdict;
    bool terminal, visible;
    double shown; /* seconds */
    char stage[32];
};

static double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static void end_line(struct finetuning *f)
{
    if (f->visible)
        fputs("\r\033[K", stderr);
    f->visible = false;
}

/* A line that renews itself on a terminal, else one every minute. */
static void show(struct finetuning *f, const struct lq_finetune_event *e)
{
    double time = now();

    if (strcmp(f->stage, e->stage) != 0) {
        end_line(f);
        snprintf(f->stage, sizeof(f->stage), "%s", e->stage);
        f->shown = time;
    }
    if (time - f->shown < (f->terminal ? 0.2 : 60))
        return;
    fprintf(stderr, "%s%s: %lld of %lld, %.1f images/s, %.0f s left", f->terminal ? "\r" : "",
            e->stage, (long long)e->done, (long long)e->total, e->images_per_s, e->seconds_left);
    if (e->loss >= 0)
        fprintf(stderr, ", loss %.4f", e->loss);
    if (e->accuracy >= 0)
        fprintf(stderr, ", %.2f %% right", e->accuracy);
    fputs(f->terminal ? "\033[K" : "\n", stderr);
    f->visible = f->terminal;
    f->shown = time;
}

static bool on_event(void *context, const struct lq_finetune_event *event)
{
    show(context, event);
    return interrupted;
}

static bool on_comparison(void *context, const char *stage, int64_t done, int64_t total)
{
    struct lq_finetune_event event = {
        .stage = stage, .done = done, .total = total, .loss = -1, .accuracy = -1};

    return on_event(context, &event);
}

static int read_steps(const struct cli_arguments *a, struct lq_finetune_options *o)
{
    static const char *const steps[] = {"statistics", "bases", "both", NULL};
    int index, status = cli_choice(a, "steps", steps, &index);

    if (cli_value(a, "steps") && status == CLI_OK)
        o->steps = (unsigned)index + 1;
    return status;
}

static int read_numbers(struct finetuning *f)
{
    const struct cli_arguments *a = f->arguments;
    struct lq_finetune_options *o = &f->options;
    int64_t epochs = 0, batch = 0, seed = 1, threads = 0;
    const struct {
        const char *option;
        int64_t min, max, *value;
    } integers[] = {{"images", 1, 1 << 30, &o->images},
                    {"epochs", 1, 10000, &epochs},
                    {"batch", 1, 4096, &batch},
                    {"seed", 0, INT64_MAX, &seed},
                    {"threads", 1, 64, &threads}};
    const struct {
        const char *option;
        double *value;
    } numbers[] = {{"bound", &f->guard.bound},
                   {"significance", &f->guard.significance},
                   {"keep", &o->keep},
                   {"lr", &o->rate},
                   {"basis-rate", &o->basis_rate},
                   {"distillation", &o->distillation},
                   {"temperature", &o->temperature}};
    int status = CLI_OK;

    for (size_t i = 0; i < sizeof(integers) / sizeof(*integers) && status == CLI_OK; i++)
        status =
            cli_int(a, integers[i].option, integers[i].min, integers[i].max, integers[i].value);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers) && status == CLI_OK; i++) {
        float value = (float)*numbers[i].value;

        status = cli_float(a, numbers[i].option, &value);
        *numbers[i].value = (double)value;
    }
    if (status == CLI_OK && (f->guard.significance < 0 || f->guard.significance > 0.5))
        status = cli_fail(CLI_USAGE, "finetune: option --significance is '%s', expected 0 to 0.5",
                          cli_value(a, "significance"));
    o->epochs = (int)epochs;
    o->batch = (int)batch;
    o->seed = (uint64_t)seed;
    o->threads = (int)threads;
    return status;
}

static int read_options(struct finetuning *f)
{
    const struct cli_arguments *a = f->arguments;
    const char *mode = cli_value(a, "mode");

    if (!cli_value(a, "data") || !cli_value(a, "output"))
        return cli_fail(CLI_USAGE, "finetune: options --data and --output are needed");
    if (mode && lq_finetune_mode_from_name(mode) < 0)
        return cli_fail(CLI_USAGE,
                        "finetune: option --mode is '%s', expected calibrate, quantizers or joint",
                        mode);
    if (mode)
        f->options.mode = (enum lq_finetune_mode)lq_finetune_mode_from_name(mode);
    f->options.augmentation = cli_value(a, "augmentation");
    return read_steps(a, &f->options) == CLI_OK ? read_numbers(f) : CLI_USAGE;
}

static int open_data(struct finetuning *f, struct lq_error *error)
{
    const struct cli_arguments *a = f->arguments;
    const char *guard = cli_value(a, "guard");
    static const char *const splits[] = {"train", "test", NULL};
    int64_t every = 5;
    struct lq_dataset_selection selection = {.hidden = cli_value(a, "unlabelled") != NULL};
    int test, status = cli_choice(a, "split", splits, &test);

    if (status == CLI_OK)
        status = cli_int(a, "hold-out", 2, 1 << 30, &every);
    if (status != CLI_OK)
        return status;
    if (lq_dataset_open(cli_value(a, "data"), test ? LQ_SPLIT_TEST : LQ_SPLIT_TRAIN, &f->data,
                        error) != LQ_OK ||
        (guard && lq_dataset_open(guard, LQ_SPLIT_TEST, &f->other, error) != LQ_OK))
        return CLI_FAILED;
    selection.every = guard ? 0 : (int)every;
    if (lq_dataset_select(guard ? f->other : f->data, &selection, &f->judged, error) != LQ_OK)
        return CLI_FAILED;
    selection.rest = !guard;
    return lq_dataset_select(f->data, &selection, &f->learned, error) == LQ_OK ? CLI_OK
                                                                               : CLI_FAILED;
}

static int open_models(struct finetuning *f, struct lq_error *error)
{
    const struct cli_arguments *a = f->arguments;
    const char *teacher = cli_value(a, "teacher"), *latent = cli_value(a, "latent");
    int status = lq_model_open(a->engine, a->operands[0], &f->model, error);

    if (status == LQ_OK && teacher)
        status = lq_model_open(a->engine, teacher, &f->options.teacher, error);
    if (status == LQ_OK && latent)
        status = lq_model_open(a->engine, latent, &f->options.latent, error);
    return status;
}

static int tune(struct finetuning *f, struct lq_error *error)
{
    const struct cli_arguments *a = f->arguments;
    struct lq_compare_options compare = {.threads = f->options.threads,
                                         .progress = {on_comparison, f}};
    int status = lq_finetune(f->model, f->learned, &f->options, &f->tuned, &f->report, error);

    if (status == LQ_OK)
        status = lq_compare(f->model, f->tuned, f->judged, &compare, &f->comparison, error);
    end_line(f);
    if (status != LQ_OK)
        return status;
    lq_guard_decide(&f->guard, &f->comparison, &f->verdict);
    if (!f->verdict.publish && !cli_value(a, "force"))
        return LQ_OK;
    status = lq_model_save(f->tuned, cli_value(a, "output"), error);
    if (status == LQ_OK && f->latent && cli_value(a, "latent-output"))
        status = lq_model_save(f->latent, cli_value(a, "latent-output"), error);
    return status;
}

static void print_table(const struct finetuning *f)
{
    const struct lq_finetune_report *r = &f->report;
    const struct lq_comparison *c = &f->comparison;

    printf("%-32s %-10s %9s %9s\n", "node", "", "before", "after");
    for (int i = 0; i < r->layer_count; i++)
        printf("%-32s %-10s %9.5f %9.5f\n", r->layers[i].name, r->layers[i].op, r->layers[i].before,
               r->layers[i].after);
    printf("(quantize: relative squared error of the activations; batch_norm: how far its input\n"
           "lies from its statistics, in standard deviations; on average %.3f -> %.3f)\n",
           r->shift[0], r->shift[1]);
    printf("%s: %lld images, %.1f s\n", lq_finetune_mode_name(f->options.mode),
           (long long)r->images, r->seconds);
    printf("%lld other images: %.2f %% answered alike, confidence %.2f -> %.2f %%",
           (long long)c->count, 100.0 * (double)c->agreed / (double)c->count, c->confidence_old,
           c->confidence_new);
    if (c->labelled)
        printf(", top-1 %.2f -> %.2f %%", c->top1_old, c->top1_new);
    printf("\n%s: %s\n", f->verdict.publish ? "accepted" : "rejected", f->verdict.reason);
}

static json_t *comparison_json(const struct lq_comparison *c)
{
    return json_pack(
        "{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f}",
        "images", (json_int_t)c->count, "labelled", (json_int_t)c->labelled, "agreed",
        (json_int_t)c->agreed, "both_right", (json_int_t)c->both, "only_old_right",
        (json_int_t)c->only_old, "only_new_right", (json_int_t)c->only_new, "both_wrong",
        (json_int_t)c->neither, "top1_old", c->top1_old, "top1_new", c->top1_new, "confidence_old",
        c->confidence_old, "confidence_new", c->confidence_new, "confidence_error",
        c->confidence_error, "classes_old", c->classes_old, "classes_new", c->classes_new,
        "p_worse", c->p_worse, "p_better", c->p_better);
}

static int print_json(const struct finetuning *f)
{
    const struct lq_finetune_report *r = &f->report;
    json_t *layers = json_array(), *root;
    int status = CLI_OK;

    for (int i = 0; i < r->layer_count; i++)
        json_array_append_new(layers,
                              json_pack("{s:s, s:s, s:i, s:f, s:f}", "name", r->layers[i].name,
                                        "op", r->layers[i].op, "bits", r->layers[i].bits, "before",
                                        r->layers[i].before, "after", r->layers[i].after));
    root = json_pack("{s:s, s:I, s:f, s:f, s:f, s:f, s:b, s:s, s:o, s:o}", "mode",
                     lq_finetune_mode_name(f->options.mode), "images", (json_int_t)r->images,
                     "seconds", r->seconds, "shift_before", r->shift[0], "shift_after", r->shift[1],
                     "loss", r->loss, "publish", f->verdict.publish, "reason", f->verdict.reason,
                     "comparison", comparison_json(&f->comparison), "layers", layers);
    if (!root || json_dumpf(root, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9)) != 0)
        status = cli_fail(CLI_FAILED, "cannot print the report");
    putchar('\n');
    json_decref(root);
    return status;
}

static int finetune(struct finetuning *f)
{
    struct lq_error error = {0};
    int status = open_data(f, &error);

    if (status == CLI_USAGE)
        return status;
    if (status != CLI_OK || open_models(f, &error) != LQ_OK || tune(f, &error) != LQ_OK)
        return cli_fail_error(&error);
    if (cli_value(f->arguments, "json"))
        status = print_json(f);
    else
        print_table(f);
    if (status != CLI_OK)
        return status;
    return f->verdict.publish || cli_value(f->arguments, "force") ? CLI_OK : CLI_REJECTED;
}

static int run(const struct cli_arguments *a)
{
    struct sigaction action = {.sa_handler = on_interrupt, .sa_flags = SA_RESETHAND};
    struct finetuning f = {
        .arguments = a, .terminal = isatty(STDERR_FILENO), .options = {.event = on_event}};
    int status;

    f.options.context = &f;
    f.options.ret_latent = &f.latent;
    status = read_options(&f);
    if (status == CLI_OK) {
        sigaction(SIGINT, &action, NULL); /* a second Ctrl-C ends the program at once */
        status = finetune(&f);
    }
    lq_finetune_report_deinit(&f.report);
    lq_model_unref(f.tuned);
    lq_model_unref(f.latent);
    lq_model_unref(f.model);
    lq_model_unref(f.options.teacher);
    lq_model_unref(f.options.latent);
    lq_dataset_close(f.learned);
    lq_dataset_close(f.judged);
    lq_dataset_close(f.data);
    lq_dataset_close(f.other);
    return status;
}

const struct cli_command command_finetune = {
    "finetune",
    "NET.lq",
    "fit the quantizers of a network to the images it meets",
    "calibrate needs no labels: BatchNorm statistics and bases of activations are taken from the\n"
    "images. quantizers goes on from there: bases, BatchNorm's scale and shift, and biases learn "
    "by\n"
    "gradient, weights keep their codes. joint trains all, from the float weights that lqnet "
    "train\n"
    "wrote with --latent, or else from the quantized ones. OUT.lq is written if the images held\n"
    "out (or --guard) show that no more than --bound points are lost; else the\n"
    "exit status is 3.\n",
    1,
    1,
    options,
    run};
