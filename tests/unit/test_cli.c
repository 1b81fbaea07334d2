/* test_cli.c - lqnet from outside: help, exit statuses, bad command lines, the tiny model.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "support/files.h"
#include "support/suite.h"
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/onnx_text.h"
#include "support/tiny_model.h"

static char output[1 << 16];

/* Runs $LQNET with arguments through the shell; fills `output` with both its outputs. */
static int run(const char *arguments)
{
    char command[2048];
    FILE *pipe;
    size_t length;
    int status;

    ck_assert_ptr_nonnull(getenv("LQNET"));
    snprintf(command, sizeof(command), "%s %s 2>&1", getenv("LQNET"), arguments);
    pipe = popen(command, "r");
    ck_assert_ptr_nonnull(pipe);
    length = fread(output, 1, sizeof(output) - 1, pipe);
    output[length] = '\0';
    status = pclose(pipe);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static const struct {
    const char *arguments;
    int status;
    const char *text;
} cases[] = {
    {"help", 0, "quantize"},
    {"--help", 0, "exit status"},
    {"--version", 0, "lqnet 0."},
    {"help evaluate", 0, "--confusion"},
    {"import --help", 0, "--resize N"},
    {"", 2, "usage"},
    {"help nothing", 2, "no command 'nothing'"},
    {"fly", 2, "no command 'fly'"},
    {"--cpu z80 help", 2, "option --cpu is 'z80'"},
    {"inspect", 2, "usage: lqnet inspect"},
    {"inspect a b", 2, "usage: lqnet inspect"},
    {"inspect --nothing x", 2, "unknown option '--nothing'"},
    {"inspect --json=1 x", 2, "takes no value"},
    {"evaluate a b --limit", 2, "needs a value"},
    {"evaluate a b --limit 0", 2, "option --limit is '0'"},
    {"evaluate a b --batch 1e3", 2, "option --batch is '1e3'"},
    {"evaluate a b --form fast", 2, "option --form is 'fast'"},
    {"evaluate a b --split all", 2, "option --split is 'all'"},
    {"import x.onnx", 2, "--output is missing"},
    {"import x.onnx -o y --mean 1,2", 2, "option --mean is '1,2'"},
    {"import x.onnx -o y --std nan", 2, "option --std is 'nan'"},
    {"import x.onnx -o y --scale 1/0", 2, "option --scale is '1/0'"},
    {"import /nonexistent.onnx -o y", 1, "cannot open"},
    {"import /dev/null -o y", 1, "not a regular file"},
    {"new resnet-20", 2, "--output is missing"},
    {"new resnet-21 -o y", 1, "no architecture 'resnet-21'; there are alexnet"},
    {"new resnet-20 -o y --shortcut C", 2, "option --shortcut is 'C', expected A or B"},
    {"new vgg-small -o y --shortcut A", 1, "vgg-small has no shortcuts"},
    {"new resnet-20 -o y --bits 2", 2, "option --bits is '2'"},
    {"new resnet-20 -o y --grid 2/x", 2, "option --grid is '2/x'"},
    {"new resnet-20 -o y --labels /nonexistent", 1, "/nonexistent"},
    {"new resnet-20 -o y --mean x", 2, "option --mean is 'x'"},
    {"quantize x", 2, "--bits, --calibrate and --output are needed"},
    {"quantize x -b 2 -c d -o o", 2, "option --bits is '2'"},
    {"quantize x -b 2/2/2 -c d -o o", 2, "option --bits is '2/2/2'"},
    {"quantize x -b 2/2 -c d -o o --layer conv1", 2, "expected NAME=W/A"},
    {"quantize x -b 2/2 -c d -o o --quantizer magic", 2, "expected learned or even"},
    {"train -d d -o o -e 1 --arch resnet-20 --quantizer magic", 2,
     "--quantizer is 'magic', expected learned, even or uniform"},
    {"quantize x -b 2/2 -c d -o o --iterations 5", 2, "option --iterations is '5'"},
    {"help finetune", 0, "exit status is 3"},
    {"finetune x -o y", 2, "--data and --output are needed"},
    {"finetune x -d y -o z --mode all", 2, "calibrate, quantizers or joint"},
    {"finetune x -d y -o z --steps none", 2, "statistics, bases or both"},
    {"finetune x -d y -o z --keep much", 2, "option --keep is 'much'"},
    {"finetune x -d y -o z --hold-out 1", 2, "option --hold-out is '1'"},
    {"finetune x -d /nonexistent -o z", 1, "/nonexistent"},
    {"train -o y", 2, "--data, --epochs and --output are needed"},
    {"train -d x -e 1 -o y", 2, "one of the options --arch and --init"},
    {"train -d x -e 1 -o y --arch a --init b", 2, "one of the options --arch and --init"},
    {"train -d x -e 0 -o y --arch a", 2, "option --epochs is '0'"},
    {"train -d x -e 1 -o y --arch a --resume", 2, "--resume needs --checkpoint"},
    {"train -d x -e 1 -o y --arch a --latent z", 2, "--latent needs --bits"},
    {"train -d x -e 1 -o y --arch a --lr fast", 2, "option --lr is 'fast'"},
    {"train -d x -e 1 -o y --arch a --distillation 0", 2, "'0', expected a number above 0"},
    {"train -d x -e 1 -o y --arch a --schedule up", 2, "steps, linear or cosine"},
    {"train -d x -e 1 -o y --arch a --milestones 1,x", 2, "option --milestones is '1,x'"},
    {"train -d x -e 1 -o y --arch a --layer b", 2, "expected NAME=W/A"},
    {"train -d /nonexistent -e 1 -o y --arch resnet-20", 1, "/nonexistent"},
    {"bench x --batch 0", 2, "option --batch is '0'"},
    {"bench x --seconds 0", 2, "option --seconds is '0'"},
    {"finetune x -d d -o o --significance 5", 2, "--significance is '5', expected 0 to 0.5"},
    {"bench x --form fast", 2, "--form is 'fast'"},
    {"bench /nonexistent.lq", 1, "/nonexistent.lq"},
    {"inspect /nonexistent.lq", 1, "/nonexistent.lq"},
    {"classify /dev/null x", 1, "/dev/null"},
};

START_TEST(command_lines)
{
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        int status = run(cases[i].arguments);

        ck_assert_msg(status == cases[i].status && strstr(output, cases[i].text),
                      "lqnet %s: %d\n%s", cases[i].arguments, status, output);
    }
}
END_TEST

/* Images of noise in the layout of CIFAR-10. */
static void put_noise(const char *path, int count)
{
    static uint8_t record[3073];
    FILE *file = fopen(path, "w");

    ck_assert_ptr_nonnull(file);
    for (int i = 0; i < count; i++) {
        for (size_t at = 0; at < sizeof(record); at++)
            record[at] = (uint8_t)(rand() >> 8);
        record[0] %= 4;
        ck_assert_uint_eq(fwrite(record, sizeof(record), 1, file), 1);
    }
    fclose(file);
}

/* Classes that mean nothing teach nothing: nothing is written then, unless by force. Chance passes
 * the guard at its default in one run of twenty, at this significance in one of a million. */
START_TEST(finetunes)
{
    char folder[] = "/tmp/test_cli.XXXXXX", path[64], data[64], out[64], arguments[256];
    json_t *root;

    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/tiny.lq", folder);
    snprintf(out, sizeof(out), "%s/out.lq", folder);
    snprintf(data, sizeof(data), "%s/data_batch_1.bin", folder);
    ck_assert_int_eq(tiny_model_write(path, NULL), LQ_OK);
    put_noise(data, 600);
    snprintf(arguments, sizeof(arguments),
             "finetune %s -d %s -o %s -m quantizers -e 1 --threads 2 --significance 1e-6", path,
             folder, out);
    ck_assert_msg(run(arguments) == 3, "%s", output);
    ck_assert_ptr_nonnull(strstr(output, "rejected"));
    ck_assert_int_ne(access(out, F_OK), 0);
    snprintf(arguments, sizeof(arguments), "finetune %s -d %s -o %s --force --json", path, folder,
             out);
    ck_assert_msg(run(arguments) == 0, "%s", output);
    root = json_loads(output, 0, NULL);
    ck_assert_ptr_nonnull(root);
    ck_assert_int_eq(json_integer_value(json_object_get(root, "images")), 480);
    ck_assert_int_eq(
        json_integer_value(json_object_get(json_object_get(root, "comparison"), "images")), 120);
    ck_assert_uint_eq(json_array_size(json_object_get(root, "layers")), 3);
    json_decref(root);
    ck_assert_int_eq(unlink(out), 0);
    unlink(data);
    unlink(path);
    rmdir(folder);
}
END_TEST

START_TEST(inspects)
{
    char path[64], arguments[128];
    json_t *root;

    snprintf(path, sizeof(path), "/tmp/lqnet-test-%d.lq", (int)getpid());
    ck_assert_int_eq(tiny_model_write(path, NULL), LQ_OK);
    snprintf(arguments, sizeof(arguments), "inspect %s --json --bases", path);
    ck_assert_int_eq(run(arguments), 0);
    root = json_loads(output, 0, NULL);
    ck_assert_ptr_nonnull(root);
    ck_assert_str_eq(json_string_value(json_object_get(root, "name")), "tiny");
    /* 8x8 outputs of 27 x 8 and 72 x 8, dense 8 x 4 */
    ck_assert_int_eq(json_integer_value(json_object_get(root, "macs")),
                     64 * (27 * 8 + 72 * 8) + 32);
    ck_assert_int_eq(json_integer_value(json_object_get(root, "quantized_macs")), 64 * 72 * 8);
    json_decref(root);
    snprintf(arguments, sizeof(arguments), "inspect %s", path);
    ck_assert_int_eq(run(arguments), 0);
    ck_assert_ptr_nonnull(strstr(output, "2/2"));
    snprintf(arguments, sizeof(arguments),
             "bench %s --batch 3 --threads 2 --seconds 0.3 --json --check", path);
    ck_assert_int_eq(run(arguments), 0);
    root = json_loads(output, 0, NULL);
    ck_assert_int_eq(json_integer_value(json_object_get(root, "batch")), 3);
    ck_assert_double_gt(json_real_value(json_object_get(root, "median_ms")), 0);
    ck_assert_double_gt(json_real_value(json_object_get(root, "images_per_s")), 0);
    ck_assert_double_le(json_real_value(json_object_get(root, "min_ms")),
                        json_real_value(json_object_get(root, "median_ms")));
    ck_assert_double_gt(json_real_value(json_object_get(root, "first_answer_ms")), 0);
    ck_assert_double_gt(json_real_value(json_object_get(root, "peak_memory_mb")), 1);
    ck_assert_double_lt(json_real_value(json_object_get(root, "peak_memory_mb")), 1000);
    json_decref(root);
    unlink(path);
}
END_TEST

START_TEST(makes_networks)
{
    char path[64], arguments[192];
    json_t *root;

    snprintf(path, sizeof(path), "/tmp/lqnet-test-%d.lq", (int)getpid());
    snprintf(arguments, sizeof(arguments),
             "new resnet-20 --bits 2/3 --grid 14/31 --shortcut B --classes 4 --std 1 -o %s", path);
    ck_assert_int_eq(run(arguments), 0);
    ck_assert_ptr_nonnull(strstr(output, "input 32x32x3, 4 classes"));
    snprintf(arguments, sizeof(arguments), "inspect %s --json", path);
    ck_assert_int_eq(run(arguments), 0);
    root = json_loads(output, 0, NULL);
    ck_assert_int_eq(json_integer_value(json_object_get(root, "macs")),
                     40551040 + 2 * 131072 - 6 * 64);
    json_decref(root);
    ck_assert_ptr_nonnull(strstr(output, "shortcuts of type B, random weights, seed 1"));
    snprintf(arguments, sizeof(arguments), "inspect %s", path);
    ck_assert_int_eq(run(arguments), 0);
    ck_assert_ptr_nonnull(strstr(output, "2/3"));
    ck_assert_ptr_nonnull(strstr(output, "(0.4914 0.4822 0.4465)) / (1 1 1)"));
    unlink(path);
}
END_TEST

static void put_images(const char *folder, const char *name, int count)
{
    char path[128];
    FILE *file;

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    for (int i = 0; i < count * 3073; i++)
        fputc(i % 3073 == 0 ? i / 3073 % 2 : (i / 3073 % 2) * 90 + rand() % 100, file);
    fclose(file);
}

/* The text is in the file; a key of JSON: behind a length of 8 bytes. */
static void check_holds(const char *folder, const char *name, const char *text)
{
    static char content[1 << 20];
    char path[128];
    FILE *file;

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    file = fopen(path, "r");
    ck_assert_msg(file != NULL, "%s", path);
    content[fread(content, 1, sizeof(content) - 1, file)] = '\0';
    fclose(file);
    ck_assert_msg(strstr(content + (*text == '"' ? 8 : 0), text) != NULL, "%s lacks %s", name,
                  text);
}

/* A network of mean colours, for 32x32 pixels. */
static void put_teacher(const char *folder)
{
    char path[128];
    size_t size;
    uint8_t *bytes = onnx_from_text("opset 13\n"
                                    "input x float N,3,32,32\n"
                                    "GlobalAveragePool x p\n"
                                    "Flatten p f axis=1\n"
                                    "tensor w float 10,3 0.5 -0.25 0.125 -1\n"
                                    "tensor b float 10 0\n"
                                    "Gemm f,w,b y transB=1\n"
                                    "output y\n",
                                    &size);

    snprintf(path, sizeof(path), "%s/t.onnx", folder);
    file_write(path, bytes, size);
    free(bytes);
}

/* All that a run writes; then it is done, and resuming it gives the same network. */
START_TEST(trains)
{
    static const char *const names[] = {
        "data_batch_1.bin", "test_batch.bin", "t.onnx", "c", "l", "r", "o", "f"};
    char folder[] = "/tmp/lqnet-test-XXXXXX", arguments[512], path[128];

    ck_assert_ptr_nonnull(mkdtemp(folder));
    put_images(folder, "data_batch_1.bin", 64);
    put_images(folder, "test_batch.bin", 16);
    put_teacher(folder);
    snprintf(arguments, sizeof(arguments),
             "train --arch resnet-20 --bits 2/2 -d %s -o %s/o -e 1 --batch 32 --lr 0.01 -c %s/c "
             "--resume -l %s/l --report %s/r --latent %s/f --teacher %s/t.onnx",
             folder, folder, folder, folder, folder, folder, folder);
    ck_assert_msg(run(arguments) == 0, "%s", output);
    ck_assert_ptr_nonnull(strstr(output, "finished, top-1 "));
    check_holds(folder, "l", "{\"event\":\"finished\",\"step\":2,\"steps\":2,\"epoch\":1,");
    check_holds(folder, "r", "group2.block2.conv2<td>2 bits<br>error 0.");
    check_holds(folder, "c", "\"format\":\"lqnet-checkpoint\"");
    ck_assert_msg(run(arguments) == 0, "%s", output);
    ck_assert_ptr_nonnull(strstr(output, "going on from step 2 of 2"));
    check_holds(folder, "r", "<h2>Loss</h2>"); /* of the epoch before it went on */
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
        ck_assert_int_eq(unlink(path), 0);
    }
    ck_assert_int_eq(rmdir(folder), 0);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("cli");

    tcase_add_test(tests, command_lines);
    tcase_add_test(tests, finetunes);
    tcase_add_test(tests, inspects);
    tcase_add_test(tests, makes_networks);
#ifdef __SANITIZE_THREAD__ /* where it takes minutes; test_train trains on all threads */
    (void)trains;
#else
    tcase_add_test(tests, trains);
#endif
    return suite_main("cli", tests);
}
