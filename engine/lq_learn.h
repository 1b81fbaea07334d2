/* lq_learn.h - the public door of the engine, second half: data sets, evaluation, quantization, the
 * paper's networks, training, fine-tuning.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Conventions: lq.h. Equation numbers are the paper's.
 */
#ifndef LQ_LEARN_H
#define LQ_LEARN_H

#include "lq.h"

/* ------------------------------------------------------------------------------------------------
 * Data sets: labelled images. Immutable once they are filled.
 *
 * Three kinds of folders are told apart by what they hold:
 *   CIFAR-10 binary   data_batch_1.bin, data_batch_2.bin ... and test_batch.bin: 1 label byte +
 *                     3072 bytes (RGB planes)
 *   labels.txt        lines "file name, blank, class index" of files in this very folder; lines
 *                     that are empty or start with # are skipped
 *   class folders     one folder of images per class, classes in byte order of the folders' names
 *
 * Symbolic links in the folder are followed: whoever fills it decides what is read.
 */

struct lq_dataset;

enum lq_split {
    LQ_SPLIT_TEST,
    LQ_SPLIT_TRAIN
}; /* only CIFAR has two; others give all for either */

/* Errors: LQ_ERR_IO, LQ_ERR_NOT_FOUND (no such kind of folder), LQ_ERR_FORMAT (file, line). */
int lq_dataset_open(const char *path, enum lq_split split, struct lq_dataset **ret_dataset,
                    struct lq_error *error) LQ_MUST_CHECK;

/* An empty one in memory, to be filled by one thread before it is used. */
int lq_dataset_create(struct lq_dataset **ret_dataset, struct lq_error *error) LQ_MUST_CHECK;
/* Adds a JPEG or PNG file, copied; name: what messages call it; label: its class, -1: not known.
 * It is decoded when it is used, and a damaged one fails that use with its name. Errors:
 * LQ_ERR_FORMAT (begins like neither), LQ_ERR_INVALID (the label), LQ_ERR_LIMIT, LQ_ERR_MEMORY. */
int lq_dataset_add_file(struct lq_dataset *dataset, const char *name, const void *bytes,
                        size_t size, int64_t label, struct lq_error *error) LQ_MUST_CHECK;
/* Adds an image of R G B pixels [height][width][3], copied. Errors: as above. */
int lq_dataset_add_pixels(struct lq_dataset *dataset, const uint8_t *pixels, int width, int height,
                          int64_t label, struct lq_error *error) LQ_MUST_CHECK;

/* Which images a part of a data set has. */
struct lq_dataset_selection {
    int every;     /* images every - 1, 2 every - 1, ...; 0, 1: all */
    bool rest;     /* all but these */
    int64_t limit; /* of those, so many, evenly spread; 0: all */
    bool hidden;   /* their classes are not told */
};
/* A part of a data set, to hold images out; the whole must outlive it and be filled. Errors:
 * LQ_ERR_INVALID (no image), LQ_ERR_MEMORY. */
int lq_dataset_select(const struct lq_dataset *dataset,
                      const struct lq_dataset_selection *selection, struct lq_dataset **ret_part,
                      struct lq_error *error) LQ_MUST_CHECK;

void lq_dataset_close(struct lq_dataset *dataset);
int64_t lq_dataset_count(const struct lq_dataset *dataset);
/* "cifar10", "list", "folders" or "memory"; of a part: the whole's. */
const char *lq_dataset_kind(const struct lq_dataset *dataset);
/* Class of item i, 0 <= i < lq_dataset_count; -1: not known. */
int64_t lq_dataset_label(const struct lq_dataset *dataset, int64_t i);
/* Whether all classes are known. */
bool lq_dataset_labelled(const struct lq_dataset *dataset);
/* One more than the highest class. */
int64_t lq_dataset_classes(const struct lq_dataset *dataset);

/* ------------------------------------------------------------------------------------------------
 * Long work
 */

/* Called now and then from the thread that started the work. Return true to cancel it: the work
 * then ends with LQ_ERR_CANCELLED. */
struct lq_progress {
    bool (*report)(void *context, const char *stage, int64_t done, int64_t total);
    void *context;
};

struct lq_evaluate_options {
    int batch;   /* images at once; 0: 64 */
    int threads; /* 0: one per CPU that this process may use */
    enum lq_form form;
    int64_t limit; /* only the first images of the data set; 0: all */
    struct lq_progress progress;
};
struct lq_evaluation {
    int64_t count;
    double top1, top5;            /* percent */
    double seconds, images_per_s; /* decoding included */
    int classes;
    int64_t *confusion; /* [true class][predicted class]; lq_evaluation_deinit frees it */
};
/* Errors: those of decoding (naming the file), LQ_ERR_INVALID (a label beyond the model's classes,
 * image sizes that do not fit), LQ_ERR_CANCELLED. */
int lq_evaluate(struct lq_model *model, const struct lq_dataset *dataset,
                const struct lq_evaluate_options *options, struct lq_evaluation *ret_evaluation,
                struct lq_error *error) LQ_MUST_CHECK;
void lq_evaluation_deinit(struct lq_evaluation *evaluation);

/* ------------------------------------------------------------------------------------------------
 * Quantization without training
 */

/* One layer's setting. bits: 1..8, or 0 for float. Grids: basis values are snapped to integers n_i
 * times one scale with sum |n_i| <= grid; 0: the default, 31 for weights and 63 for activations, or
 * 2^bits - 1 where that is more. The product of both grids and of a dot product's length must stay
 * below 2^31. */
struct lq_bits {
    int weight_bits, activation_bits;
    int weight_grid, activation_grid;
};

enum lq_quantizer_kind {
    LQ_QUANTIZER_LEARNED, /* QEM, paper section 3.2 */
    LQ_QUANTIZER_EVEN,    /* evenly spaced levels, their scale fitted by QEM: for each channel of
                             weights and each layer of activations, as a basis is */
    LQ_QUANTIZER_UNIFORM  /* of training alone, to compare with: evenly spaced levels, of weights up
                             to the largest of the layer (the mean size at 1 bit; DoReFa-Net, Zhou et
                             al. 2016, whose tanh is left out), of activations up to a top that
                             learns by its gradient (PACT, Choi et al. 2018, from the fitted
                             scale's) */
};

struct lq_layer_bits {
    const char *layer; /* name of a convolution or a dense layer */
    struct lq_bits bits;
};

struct lq_quantize_options {
    struct lq_bits bits; /* of all layers but the first convolution and the last dense layer */
    const struct lq_layer_bits *layers; /* exceptions, these two included */
    int layer_count;
    enum lq_quantizer_kind quantizer;
    int iterations;           /* QEM alternations, 0: 50; at least 20 */
    int64_t images;           /* calibration images, 0: 1000 or as many as there are */
    bool keep_batch_norm;     /* false: BatchNorm statistics are re-estimated on the calibration
                                 images, with the augmentation that the network was trained with */
    const char *augmentation; /* overrides the model's own; see below */
    uint64_t seed;
    int threads; /* 0: one per CPU */
    struct lq_progress progress;
};
/* An augmentation is a list of words separated by commas: "crop4-black" (a random crop after
 * padding 4 pixels of black), "crop4-mean" (... of the mean colour), "crop4-reflect", "flip"
 * (a random horizontal mirror), or "none". */

struct lq_quantize_layer {
    char name[128];
    struct lq_bits bits;
    double weight_error;     /* |w - q(w)|^2 / |w|^2 of the snapped quantizer */
    double activation_error; /* the same over the recorded activations */
    double output_error;     /* the same over the layer's output, quantized input and weights
                                against the float network's output */
};
struct lq_quantize_report {
    int layer_count;
    struct lq_quantize_layer *layers; /* lq_quantize_report_deinit frees them */
};

/* Makes a quantized copy of a float model. Errors: LQ_ERR_INVALID (unknown layer, bits or grid out
 * of range, a model that is quantized already), LQ_ERR_NUMERIC (naming the tensor),
 * LQ_ERR_CANCELLED. */
int lq_model_quantize(struct lq_model *model, const struct lq_dataset *dataset,
                      const struct lq_quantize_options *options, struct lq_model **ret_model,
                      struct lq_quantize_report *ret_report, struct lq_error *error) LQ_MUST_CHECK;
void lq_quantize_report_deinit(struct lq_quantize_report *report);

/* ------------------------------------------------------------------------------------------------
 * The paper's networks, built in, with random weights
 */

struct lq_arch_info {
    const char *name; /* "resnet-18" */
    int size;         /* of its input, pixels */
    int classes;
    char shortcut; /* 'A' or 'B': the usual one of a ResNet; 0: no ResNet */
};
/* NULL where there is no such index. */
const struct lq_arch_info *lq_arch_info(int index);

#define LQ_MAX_ARCH_SIZE 1024

struct lq_arch_options {
    const char *arch;
    int size, classes;         /* 0: the architecture's own */
    char shortcut;             /* 'A' or 'B', of a ResNet; 0: its own */
    uint64_t seed;             /* of the weights, and of the calibration images */
    const char *name;          /* of the model; NULL: the architecture's */
    const char *const *labels; /* label_count class names; NULL: CIFAR-10's for ten classes of a
                                  CIFAR network, else none */
    int label_count;
    const struct lq_preprocess *preprocess; /* NULL: the usual one of CIFAR-10 or ImageNet */
    struct lq_bits bits; /* of all layers but the first convolution and the last dense layer */
    enum lq_quantizer_kind quantizer;
    int images;  /* random pictures that BatchNorm statistics and activation bases are taken from;
                    0: 16 */
    int threads; /* 0: one per CPU */
};
/* The preprocessing that the options stand for (their own, or the usual one). Errors:
 * LQ_ERR_NOT_FOUND, LQ_ERR_INVALID. */
int lq_arch_preprocess(const struct lq_arch_options *options, struct lq_preprocess *ret_preprocess,
                       struct lq_error *error) LQ_MUST_CHECK;
/* Makes a network that is ready to be run or trained: random weights (engine/arch/arch.h),
 * BatchNorm statistics and bases of the activations fitted to random pictures, bases of the weights
 * fitted to the weights. Errors: LQ_ERR_NOT_FOUND (no such architecture; the text lists them),
 * LQ_ERR_INVALID (options; a size that is too small for the layers), LQ_ERR_LIMIT, LQ_ERR_MEMORY.
 */
int lq_model_create_arch(const struct lq_engine *engine, const struct lq_arch_options *options,
                         struct lq_model **ret_model, struct lq_error *error) LQ_MUST_CHECK;

/* ------------------------------------------------------------------------------------------------
 * Training
 */

enum lq_rate_curve {
    LQ_RATE_STEPS,  /* a tenth at each milestone */
    LQ_RATE_LINEAR, /* to 0 at the end */
    LQ_RATE_COSINE  /* the same along half a cosine */
};

enum lq_train_event_kind {
    LQ_TRAIN_STARTED,    /* or went on from a checkpoint, at `step` */
    LQ_TRAIN_STEP,       /* after each step */
    LQ_TRAIN_EPOCH,      /* after each epoch: means over it, and top-1 where it was evaluated */
    LQ_TRAIN_CHECKPOINT, /* one was written */
    LQ_TRAIN_FINISHED    /* with the top-1 of the final network */
};
/* A quantized layer at the end of training. Weights are divided by the top level of their output
 * channel, activations by that of their layer; bins are equally wide, the outermost hold what lies
 * beyond too. */
#define LQ_TRAIN_BINS 64
#define LQ_TRAIN_SPAN 1.5 /* weights: bins from -1.5 to 1.5; activations: from 0 */
struct lq_train_layer {
    char name[128];
    struct lq_bits bits;
    double weight_error, activation_error; /* |x - q(x)|^2 / |x|^2; of the last batch */
    int64_t weight_bins[LQ_TRAIN_BINS], activation_bins[LQ_TRAIN_BINS];
    float weight_levels[256], activation_levels[256]; /* [2^bits] ascending; of weights: the
                                                         channels' mean */
};
struct lq_train_event {
    enum lq_train_event_kind kind;
    int64_t step, steps; /* done; in all */
    int64_t epoch;       /* 1 for the first */
    double loss;
    double accuracy; /* percent of the training images, as augmented; of the epoch so far */
    double rate;     /* learning rate */
    double images_per_s, seconds_left;
    double top1;                         /* percent; -1: not evaluated */
    size_t bytes;                        /* of the trainer's buffers */
    int64_t images;                      /* of an epoch */
    const struct lq_train_layer *layers; /* LQ_TRAIN_FINISHED: of the quantized layers */
    int layer_count;
};

struct lq_train_options {
    /* quantized before it is trained, from its float weights (lq_model_quantize); all bits 0 and no
     * exceptions: trained as it is */
    struct lq_bits bits;
    const struct lq_layer_bits *layers;
    int layer_count;
    enum lq_quantizer_kind quantizer;
    bool scratch; /* random weights instead of the model's */

    int batch; /* 0: 128 */
    int epochs;
    double rate, momentum, decay; /* momentum 0: 0.9 */
    bool plain_momentum;          /* not Nesterov's */
    enum lq_rate_curve curve;
    double warmup;            /* epochs */
    const double *milestones; /* epochs; NULL: 41 % and 61.5 % of them, as 82 and 123 of 200 */
    int milestone_count;

    double basis_rate; /* above 0: bases, or the scales of even levels, learn by their gradient,
                          at this part of the learning rate, instead of by QEM; 0 is 1 for the tops
                          of LQ_QUANTIZER_UNIFORM */
    double smoothing;  /* of the labels, 0..1 */
    double average;    /* decay of a moving average of the parameters, which is what is kept;
                          0: none */
    struct lq_model *teacher; /* NULL: none */
    double distillation;      /* its part of the loss; 0: a half */
    double temperature;       /* 0: 3 */

    const char *augmentation; /* NULL: "crop4-mean,flip" */
    int hold_out;             /* every so many-th training image is left out, and they are what is
                                 evaluated; 0: none, the test set is */
    int evaluate_every;       /* epochs; 0: only the final network */
    int64_t reestimate;       /* images that BatchNorm statistics are taken from at the end; 0: the
                                 running ones are kept */
    uint64_t seed;
    int threads; /* 0: one per CPU */

    const char *checkpoint;    /* file, written every checkpoint_minutes, when it is cancelled, and
                                  at the end; NULL: none */
    double checkpoint_minutes; /* 0: 5 */
    bool resume;               /* from that file, if it exists */

    struct lq_model **ret_latent; /* where to leave the float network behind a quantized one, to be
                                     trained on with other bits, unless NULL; it stays untouched
                                     where nothing was quantized from floats */

    /* Called from the thread that trains; true: write a checkpoint and stop. */
    bool (*event)(void *context, const struct lq_train_event *event);
    void *context;
};

/* Trains a copy of the model: SGD on mini-batches, the paper's algorithm 2 where layers are
 * quantized. test may be NULL (nothing is evaluated then unless hold_out is set). The result does
 * not depend on the number of threads, nor on interruptions, to the bit. Errors: LQ_ERR_INVALID
 * (options; a label beyond the classes; a checkpoint of another run), LQ_ERR_NUMERIC (the loss or a
 * gradient is not finite; the text names step and layer, the last checkpoint is kept),
 * LQ_ERR_CANCELLED, LQ_ERR_UNSUPPORTED, those of reading images. */
int lq_train(struct lq_model *model, const struct lq_dataset *train, const struct lq_dataset *test,
             const struct lq_train_options *options, struct lq_model **ret_model,
             struct lq_error *error) LQ_MUST_CHECK;

/* ------------------------------------------------------------------------------------------------
 * Fine-tuning: the quantizers of a network are fitted to the images that it meets
 */

enum lq_finetune_mode {
    LQ_FINETUNE_CALIBRATE,  /* no labels, no gradients: BatchNorm statistics and activation bases
                               are taken from the images, node by node; weights stay */
    LQ_FINETUNE_QUANTIZERS, /* the same, then bases, BatchNorm's scale and shift, and biases learn
                               by gradient, from labels or a teacher; codes and float weights stay,
                               so the .lq file is enough */
    LQ_FINETUNE_JOINT,      /* all of lq_train, from float weights behind the codes */
    LQ_FINETUNE_MODES
};
/* "calibrate", "quantizers", "joint"; NULL, -1 where there is none. */
const char *lq_finetune_mode_name(enum lq_finetune_mode mode);
int lq_finetune_mode_from_name(const char *name);

/* What is taken from images without gradients; a mask. */
enum {
    LQ_FINETUNE_STATISTICS = 1, /* BatchNorm means and variances */
    LQ_FINETUNE_BASES = 2       /* QEM on the bases of activations */
};

struct lq_finetune_event {
    const char *stage;                 /* "read", "measure", "calibrate", "train" */
    int64_t done, total;               /* of the stage: images, nodes, steps */
    double loss;                       /* of the epoch so far; -1: none */
    double accuracy;                   /* percent of the labelled images, as augmented; -1: none */
    double images_per_s, seconds_left; /* of the stage; 0: not known yet */
};

/* All zeros is a good start. */
struct lq_finetune_options {
    enum lq_finetune_mode mode;
    int64_t images;           /* at most so many, evenly spread over the data set; 0: 2000 to
                                 calibrate, all to train. Fewer are calibrated on where their maps
                                 would take more memory than below */
    const char *augmentation; /* NULL: what the network was trained with (its provenance), or none
                                 where that is not known */
    uint64_t seed;
    int threads;   /* 0: one per CPU */
    size_t memory; /* bytes of maps while it calibrates; 0: 1 GiB */

    unsigned steps; /* of the calibration; 0: LQ_FINETUNE_STATISTICS */
    double keep;    /* part of the old BatchNorm statistics that is kept, 0..1 */

    int epochs;          /* of training; 0: 5 */
    int batch;           /* 0: 100 */
    double rate;         /* 0: the mode's own */
    double basis_rate;   /* of bases, a part of it; 0: the mode's own */
    double distillation; /* the teacher's part of the loss; 0: none where all images have labels,
                            else 1 */
    double temperature;  /* 0: 3 */
    struct lq_model *teacher;     /* of the same input and classes; NULL: the model as calibrated */
    struct lq_model *latent;      /* LQ_FINETUNE_JOINT: the float network behind the model, and */
    struct lq_model **ret_latent; /* where to leave it as trained, unless NULL. Without it joint
                                     starts from the weights that the codes stand for, and leaves
                                     none */

    /* Called now and then from the thread that started the work; true: cancel. */
    bool (*event)(void *context, const struct lq_finetune_event *event);
    void *context;
};

/* A node that is fitted: a quantizer of activations or a batch normalization. */
struct lq_finetune_layer {
    char name[128];
    const char *op;       /* "quantize" or "batch_norm" */
    int bits;             /* of a quantizer */
    double before, after; /* over some of the images: of a quantizer, |x - q(x)|^2 / |x|^2; of a
                             batch normalization, how far the means of its input are from the
                             statistics, in standard deviations (root mean square over channels) */
};
struct lq_finetune_report {
    int64_t images; /* that were looked at */
    double seconds;
    double shift[2]; /* mean over the batch normalizations, before and after */
    double loss;     /* of the last epoch; -1: nothing was trained */
    int layer_count;
    struct lq_finetune_layer *layers; /* lq_finetune_report_deinit frees them */
};

/* Makes a fine-tuned copy of the model; its provenance says how ("finetuned"). The result is the
 * same for any number of threads, to the bit. Errors: LQ_ERR_INVALID (options; no images; a label
 * beyond the classes, by the image's name; images without labels and no teacher to ask; a latent
 * network of other layers), LQ_ERR_NUMERIC (naming the node), LQ_ERR_CANCELLED, LQ_ERR_UNSUPPORTED,
 * those of reading images. */
int lq_finetune(struct lq_model *model, const struct lq_dataset *dataset,
                const struct lq_finetune_options *options, struct lq_model **ret_model,
                struct lq_finetune_report *ret_report, struct lq_error *error) LQ_MUST_CHECK;
void lq_finetune_report_deinit(struct lq_finetune_report *report);

/* Two networks on the same images. */
struct lq_compare_options {
    int batch;     /* images at once; 0: 64 */
    int threads;   /* 0: one per CPU */
    int64_t limit; /* only the first images of the data set; 0: all */
    struct lq_progress progress;
};
struct lq_comparison {
    int64_t count, labelled;                   /* images; those whose class is known */
    int64_t both, only_old, only_new, neither; /* right, of the labelled ones */
    double top1_old, top1_new;                 /* percent of the labelled ones; 0 without */
    int64_t agreed;                            /* same prediction */
    double confidence_old, confidence_new;     /* mean probability of the prediction, percent */
    double confidence_error;         /* standard error of the mean of their difference, points */
    double classes_old, classes_new; /* how many classes are predicted, effectively: exp(entropy of
                                        the predictions' frequencies) */
    /* McNemar's exact test, one-sided: how probable it is that one is right alone at least as often
     * as seen, if either were as likely; 1 where they never differ. */
    double p_worse, p_better; /* small: the new one is worse; is better */
    double seconds;
};
/* The networks must take the same input and tell the same classes. Errors: LQ_ERR_INVALID (they do
 * not; no images; a label beyond the classes), LQ_ERR_CANCELLED, those of decoding. */
int lq_compare(struct lq_model *old_model, struct lq_model *new_model,
               const struct lq_dataset *dataset, const struct lq_compare_options *options,
               struct lq_comparison *ret_comparison, struct lq_error *error) LQ_MUST_CHECK;

/* Whether a new network may take the old one's place. */
struct lq_guard {
    double bound;        /* points that may be lost; 0: 0.2, below 0: none */
    double significance; /* of the test with labels; 0: 0.05 */
    int64_t least;       /* images; 0: 100 */
};
struct lq_verdict {
    bool publish;
    char reason[256];
};
void lq_guard_decide(const struct lq_guard *guard, const struct lq_comparison *comparison,
                     struct lq_verdict *ret_verdict);

#endif
