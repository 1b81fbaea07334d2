/* train.c - lqnet train: trains a network on labelled images.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/report.h"

static const struct cli_option options[] = {
    {"data", 'd', "DATA", "images to train on (required; see lqnet help evaluate)"},
    {"output", 'o', "OUT.lq", "the file to write (required)"},
    {"arch", 'a', "NAME", "train one of the built-in networks (see lqnet help new), or"},
    {"init", 'i', "NET", "this network, .lq or float .lq to be quantized by --bits"},
    {"scratch", 0, NULL, "with random weights instead of those of --init"},
    {"epochs", 'e', "N", "passes over the images (required)"},
    {"bits", 'b', "W/A", "quantize weights and activations before training: 1..8 or float"},
    {"grid", 0, "W/A", "sum of a snapped basis' integers; default 31/63, at least 2^bits - 1"},
    {"layer", 0, "NAME=W/A", "another setting for one layer, W/A:GW/GA with grids; repeatable"},
    {"quantizer", 0, "KIND",
     "learned (default), even (fitted scales) or uniform (DoReFa-Net, PACT)"},
    {"lr", 0, "RATE", "learning rate; default 0.1"},
    {"schedule", 0, "CURVE", "steps (default: a tenth at each milestone), linear or cosine, to 0"},
    {"milestones", 0, "E,E,...", "epochs; default 41 % and 61.5 % of all"},
    {"warmup", 0, "EPOCHS", "the rate rises this long first; default 0"},
    {"batch", 0, "N", "images of a step; default 128"},
    {"momentum", 0, "X", "default 0.9"},
    {"plain-momentum", 0, NULL, "not Nesterov's"},
    {"decay", 0, "X", "of weights, and of the top levels of uniform; default 1e-4"},
    {"basis-rate", 0, "X",
     "bases learn by gradient, at this part of the learning rate, not by QEM"},
    {"smoothing", 0, "X", "of labels; default 0"},
    {"average", 0, "X", "keep a moving average of the parameters with this decay, as 0.999"},
    {"teacher", 0, "NET", "learn from the answers of this network too, .lq or .onnx"},
    {"distillation", 0, "X", "the teacher's part of the loss; default 0.5"},
    {"temperature", 0, "X", "of the teacher's answers; default 3"},
    {"augmentation", 0, "LIST", "crop4-mean,flip (default), or others: see lqnet help import"},
    {"validate", 0, "N", "hold out every N-th training image, and evaluate on these"},
    {"evaluate-every", 0, "EPOCHS", "and at the end; default 1, 0: at the end only"},
    {"reestimate", 0, "N", "take BatchNorm statistics from N training images at the end"},
    {"latent", 0, "OUT.lq", "write the float weights behind the quantized ones too, for --init"},
    {"seed", 0, "N", "of weights, order and augmentation; default 1"},
    {"threads", 0, "N", "default: one for each CPU"},
    {"checkpoint", 'c', "FILE", "keep the state of the training here, as safetensors"},
    {"checkpoint-minutes", 0, "X", "how often; default 5"},
    {"resume", 'r', NULL, "go on from --checkpoint, if it is there"},
    {"log", 'l', "FILE", "append JSON lines about steps and epochs"},
    {"report", 0, "FILE.html",
     "write a page with curves (of all of a resumed run, if it has --log), levels, errors"},
    {NULL, 0, NULL, NULL}};

enum { MAX_MILESTONES = 32 };

struct training {
    const struct cli_arguments *arguments;
    struct lq_train_options options;
    struct lq_layer_bits *layers;
    double milestones[MAX_MILESTONES];
    FILE *log;
    struct report report;
    bool terminal, visible, log_failed;
    double shown, logged; /* seconds */
};

static volatile sig_atomic_t interrupted;

static void on_interrupt(int signal_number)
{
    (void)signal_number;
    interrupted = 1;
}

static double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* A number; untouched where the option is not given. positive: 0 would stand for the default. */
static int read_double(const struct cli_arguments *a, const char *option, bool positive,
                       double *value)
{
    const char *text = cli_value(a, option);
    char *end;
    double number;

    if (!text)
        return CLI_OK;
    number = strtod(text, &end);
    if (end == text || *end)
        return cli_fail(CLI_USAGE, "train: option --%s is '%s', expected a number", option, text);
    if (positive && number == 0)
        return cli_fail(CLI_USAGE, "train: option --%s is '%s', expected a number above 0", option,
                        text);
    *value = number;
    return CLI_OK;
}

static int read_milestones(struct training *t)
{
    const char *text = cli_value(t->arguments, "milestones"), *at = text;
    int count = 0;

    while (at && count < MAX_MILESTONES) {
        char *end;

        t->milestones[count] = strtod(at, &end);
        if (end == at || (*end && *end != ','))
            break;
        count++;
        at = *end ? end + 1 : NULL;
    }
    if (at)
        return cli_fail(CLI_USAGE,
                        "train: option --milestones is '%s', expected up to %d epochs separated by "
                        "commas",
                        text, MAX_MILESTONES);
    if (text) {
        t->options.milestones = t->milestones;
        t->options.milestone_count = count;
    }
    return CLI_OK;
}

static int read_doubles(const struct cli_arguments *a, struct lq_train_options *o)
{
    const struct {
        const char *option;
        bool positive;
        double *value;
    } numbers[] = {{"lr", true, &o->rate},
                   {"warmup", false, &o->warmup},
                   {"momentum", true, &o->momentum},
                   {"decay", false, &o->decay},
                   {"basis-rate", false, &o->basis_rate},
                   {"smoothing", false, &o->smoothing},
                   {"average", false, &o->average},
                   {"distillation", true, &o->distillation},
                   {"temperature", true, &o->temperature},
                   {"checkpoint-minutes", true, &o->checkpoint_minutes}};
    int status = CLI_OK;

    for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers) && status == CLI_OK; i++)
        status = read_double(a, numbers[i].option, numbers[i].positive, numbers[i].value);
    return status;
}

static int read_integers(const struct cli_arguments *a, struct lq_train_options *o)
{
    int64_t epochs = 0, batch = 0, hold_out = 0, every = 1, seed = 1, threads = 0;
    const struct {
        const char *option;
        int64_t min, max, *value;
    } numbers[] = {{"epochs", 1, 100000, &epochs},
                   {"batch", 1, 4096, &batch},
                   {"validate", 2, 1 << 30, &hold_out},
                   {"evaluate-every", 0, 100000, &every},
                   {"seed", 0, INT64_MAX, &seed},
                   {"threads", 1, 64, &threads},
                   {"reestimate", 1, 1 << 30, &o->reestimate}};
    int status = CLI_OK;

    for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers) && status == CLI_OK; i++)
        status = cli_int(a, numbers[i].option, numbers[i].min, numbers[i].max, numbers[i].value);
    o->epochs = (int)epochs;
    o->batch = (int)batch;
    o->hold_out = (int)hold_out;
    o->evaluate_every = (int)every;
    o->seed = (uint64_t)seed;
    o->threads = (int)threads;
    return status;
}

/* --layer NAME=W/A; names are copied, for they end at the last "=". */
static int read_layers(struct training *t)
{
    const char *text;
    int status = CLI_OK;

    for (int i = 0; (text = cli_value_at(t->arguments, "layer", i)) && status == CLI_OK; i++) {
        const char *equals = strrchr(text, '=');

        if (!equals)
            return cli_fail(CLI_USAGE, "train: option --layer is '%s', expected NAME=W/A", text);
        t->layers[i].layer = strndup(text, (size_t)(equals - text));
        if (!t->layers[i].layer)
            return cli_fail(CLI_FAILED, "out of memory");
        status = cli_bits(t->arguments, "layer", equals + 1, &t->layers[i].bits);
    }
    return status;
}

static int read_options(struct training *t)
{
    const struct cli_arguments *a = t->arguments;
    struct lq_train_options *o = &t->options;
    const char *bits = cli_value(a, "bits");
    static const char *const quantizers[] = {"learned", "even", "uniform", NULL};
    static const char *const curves[] = {"steps", "linear", "cosine", NULL};
    int status = CLI_OK, quantizer = 0, curve = 0;

    o->rate = 0.1;
    o->decay = 1e-4;
    if (!cli_value(a, "data") || !cli_value(a, "output") || !cli_value(a, "epochs"))
        return cli_fail(CLI_USAGE, "train: options --data, --epochs and --output are needed");
    if (!cli_value(a, "arch") == !cli_value(a, "init"))
        return cli_fail(CLI_USAGE, "train: one of the options --arch and --init is needed");
    if (cli_value(a, "resume") && !cli_value(a, "checkpoint"))
        return cli_fail(CLI_USAGE, "train: option --resume needs --checkpoint");
    if (cli_value(a, "latent") && !bits)
        return cli_fail(CLI_USAGE, "train: option --latent needs --bits");
    if (bits)
        status = cli_bits(a, "bits", bits, &o->bits);
    if (status == CLI_OK)
        status = cli_grids(a, "grid", &o->bits);
    if (status == CLI_OK)
        status = cli_choice(a, "quantizer", quantizers, &quantizer);
    if (status == CLI_OK)
        status = read_doubles(a, o);
    if (status == CLI_OK)
        status = read_integers(a, o);
    if (status == CLI_OK)
        status = read_milestones(t);
    if (status == CLI_OK)
        status = cli_choice(a, "schedule", curves, &curve);
    if (status == CLI_OK)
        status = read_layers(t);
    o->quantizer = (enum lq_quantizer_kind)quantizer;
    o->curve = (enum lq_rate_curve)curve;
    o->scratch = cli_value(a, "scratch");
    o->plain_momentum = cli_value(a, "plain-momentum");
    o->augmentation = cli_value(a, "augmentation");
    o->checkpoint = cli_value(a, "checkpoint");
    o->resume = cli_value(a, "resume");
    o->layers = t->layers;
    o->layer_count = cli_count(a, "layer");
    return status;
}

static void log_event(struct training *t, const struct lq_train_event *e)
{
    static const char *const kinds[] = {"started", "step", "epoch", "checkpoint", "finished"};

    if (!t->log)
        return;
    fprintf(t->log,
            "{\"event\":\"%s\",\"step\":%" PRId64 ",\"steps\":%" PRId64 ",\"epoch\":%" PRId64
            ",\"loss\":%.6g,\"accuracy\":%.4f,\"rate\":%.6g,\"images_per_s\":%.1f",
            kinds[e->kind], e->step, e->steps, e->epoch, e->loss, e->accuracy, e->rate,
            e->images_per_s);
    if (e->top1 >= 0)
        fprintf(t->log, ",\"top1\":%.4f", e->top1);
    fputs("}\n", t->log);
    if (fflush(t->log) != 0 && !t->log_failed) {
        t->log_failed = true;
        cli_complain("%s: cannot write: %s", cli_value(t->arguments, "log"), strerror(errno));
    }
}

static void end_line(struct training *t)
{
    if (t->visible)
        fputs("\r\033[K", stderr);
    t->visible = false;
}

static void show_step(struct training *t, const struct lq_train_event *e)
{
    double left = e->seconds_left;

    fprintf(stderr,
            "%sepoch %" PRId64 ", step %" PRId64 " of %" PRId64
            ": loss %.4f, %.2f %% right, rate %.4g, %.1f images/s, %d:%02d:%02d left%s",
            t->terminal ? "\r" : "", e->epoch, e->step, e->steps, e->loss, e->accuracy, e->rate,
            e->images_per_s, (int)(left / 3600), (int)(left / 60) % 60, (int)left % 60,
            t->terminal ? "\033[K" : "\n");
    t->visible = t->terminal;
}

static void show_epoch(struct training *t, const struct lq_train_event *e)
{
    end_line(t);
    if (e->kind == LQ_TRAIN_FINISHED)
        printf("finished");
    else
        printf("epoch %" PRId64 ": loss %.4f, %.2f %% right, rate %.4g, %.1f images/s", e->epoch,
               e->loss, e->accuracy, e->rate, e->images_per_s);
    if (e->top1 >= 0)
        printf(", top-1 %.2f %%", e->top1);
    putchar('\n');
    fflush(stdout);
}

/* What came before is in the log, if there is one. */
static void go_on(struct training *t, const struct lq_train_event *e)
{
    const char *log = cli_value(t->arguments, "log");

    printf("going on from step %" PRId64 " of %" PRId64 "\n", e->step, e->steps);
    if (log && !report_read_log(&t->report, log, e->step))
        cli_complain("%s: cannot be read: the report will not be whole", log);
}

static bool on_event(void *context, const struct lq_train_event *e)
{
    struct training *t = context;
    double time = now();

    if (!report_add(&t->report, e))
        cli_complain("out of memory: the report will not be whole");
    switch (e->kind) {
    case LQ_TRAIN_STARTED:
        if (e->step > 0)
            go_on(t, e);
        log_event(t, e);
        break;
    case LQ_TRAIN_STEP:
        if (time - t->shown >= (t->terminal ? 0.5 : 60)) {
            show_step(t, e);
            t->shown = time;
        }
        if (e->step % 20 == 0)
            log_event(t, e);
        break;
    case LQ_TRAIN_EPOCH:
    case LQ_TRAIN_FINISHED:
        show_epoch(t, e);
        log_event(t, e);
        break;
    case LQ_TRAIN_CHECKPOINT:
    default:
        break;
    }
    return interrupted;
}

static int open_network(const struct training *t, struct lq_model **ret_model,
                        struct lq_error *error)
{
    const struct cli_arguments *a = t->arguments;
    struct lq_arch_options arch = {.arch = cli_value(a, "arch"), .seed = t->options.seed};

    if (arch.arch)
        return lq_model_create_arch(a->engine, &arch, ret_model, error);
    return lq_model_open(a->engine, cli_value(a, "init"), ret_model, error);
}

/* The test set, where DATA has one of its own. */
static int open_data(const struct training *t, struct lq_dataset **ret_train,
                     struct lq_dataset **ret_test, struct lq_error *error)
{
    const char *path = cli_value(t->arguments, "data");
    int status = lq_dataset_open(path, LQ_SPLIT_TRAIN, ret_train, error);

    if (status == LQ_OK && strcmp(lq_dataset_kind(*ret_train), "cifar10") == 0 &&
        !t->options.hold_out)
        status = lq_dataset_open(path, LQ_SPLIT_TEST, ret_test, error);
    return status;
}

/* A teacher in ONNX sees what the network sees, and need say nothing of its preprocessing. */
static int open_teacher(struct training *t, const struct lq_model *model, struct lq_error *error)
{
    const struct cli_arguments *a = t->arguments;
    const char *path = cli_value(a, "teacher"), *suffix = strrchr(path, '.');
    struct lq_import_options import = {0};
    struct lq_model_info info;

    if (!suffix || strcmp(suffix, ".onnx") != 0)
        return lq_model_open(a->engine, path, &t->options.teacher, error);
    lq_model_get_info(model, &info);
    import.preprocess = info.preprocess;
    return lq_model_import_onnx(a->engine, path, &import, &t->options.teacher, error);
}

static int train(struct training *t)
{
    const struct cli_arguments *a = t->arguments;
    struct lq_model *model = NULL, *trained = NULL, *latent = NULL;
    struct lq_dataset *images = NULL, *test = NULL;
    struct lq_error error = {0};
    int status = open_network(t, &model, &error);

    t->options.ret_latent = cli_value(a, "latent") ? &latent : NULL;

    if (status == LQ_OK && cli_value(a, "teacher"))
        status = open_teacher(t, model, &error);
    if (status == LQ_OK)
        status = open_data(t, &images, &test, &error);
    if (status == LQ_OK)
        status = lq_train(model, images, test, &t->options, &trained, &error);
    end_line(t);
    if (status == LQ_OK)
        status = lq_model_save(trained, cli_value(a, "output"), &error);
    if (status == LQ_OK && latent)
        status = lq_model_save(latent, cli_value(a, "latent"), &error);
    if (status == LQ_OK)
        printf("-> %s\n", cli_value(a, "output"));
    lq_model_unref(trained);
    lq_model_unref(latent);
    lq_model_unref(t->options.teacher);
    lq_model_unref(model);
    t->options.ret_latent = NULL;
    lq_dataset_close(images);
    lq_dataset_close(test);
    if (status == LQ_ERR_CANCELLED && t->options.checkpoint)
        return cli_fail(CLI_FAILED, "%s; --resume goes on from %s", error.text,
                        t->options.checkpoint);
    return status == LQ_OK ? CLI_OK : cli_fail_error(&error);
}

static int run(const struct cli_arguments *a)
{
    struct sigaction action = {.sa_handler = on_interrupt, .sa_flags = SA_RESETHAND};
    struct training t = {
        .arguments = a, .report = {.top1 = -1}, .terminal = isatty(STDERR_FILENO), .shown = now()};
    const char *log = cli_value(a, "log");
    int count = cli_count(a, "layer"), status;

    t.layers = calloc((size_t)count + 1, sizeof(*t.layers));
    if (!t.layers)
        return cli_fail(CLI_FAILED, "out of memory");
    t.options.event = on_event;
    t.options.context = &t;
    status = read_options(&t);
    if (status == CLI_OK && log) {
        t.log = fopen(log, "ae");
        if (!t.log)
            status = cli_fail(CLI_FAILED, "%s: cannot open: %s", log, strerror(errno));
    }
    if (status == CLI_OK) {
        sigaction(SIGINT, &action, NULL); /* a second Ctrl-C ends the program at once */
        sigaction(SIGTERM, &action, NULL);
        status = train(&t);
    }
    if (status == CLI_OK && cli_value(a, "report"))
        status = report_write(&t.report, cli_value(a, "output"), cli_value(a, "report"));
    report_deinit(&t.report);
    if (t.log && fclose(t.log) != 0)
        cli_complain("%s: cannot write: %s", log, strerror(errno));
    for (int i = 0; i < count; i++)
        free((char *)t.layers[i].layer);
    free(t.layers);
    return status;
}

const struct cli_command command_train = {
    "train",
    "",
    "train a network, float or quantized",
    "Without extras this is the method of the paper. Where DATA is CIFAR-10 the test images are\n"
    "evaluated; of other data give --validate. Ctrl-C writes the checkpoint and stops.\n",
    0,
    0,
    options,
    run};
