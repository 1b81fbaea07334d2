/* onnx_text.h - ONNX files written down as text, for tests.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * One statement a line:
 *     opset 13
 *     input NAME TYPE DIMS            DIMS: "N,3,4,4"; a letter: a named dimension; "-": no shape
 *     output NAME
 *     tensor NAME TYPE DIMS VALUES    TYPE: float, int64, int32, double; DIMS "()": a scalar; the
 *                                     last value fills the rest
 *     raw NAME TYPE DIMS VALUES       the same as raw bytes
 *     const NAME TYPE DIMS VALUES     the same as a node Constant
 *     OP INPUTS OUTPUTS ATTRIBUTES    lists "a,b", "()": none; a name "-": left out. Attributes
 *                                     a=3 (int), a=3.0 (float), a=[1,2] (ints), a=x (string);
 *                                     name= and domain= are the node's
 */
#ifndef TESTS_SUPPORT_ONNX_TEXT_H
#define TESTS_SUPPORT_ONNX_TEXT_H

#include <stddef.h>
#include <stdint.h>

/* The file's bytes, to be freed. Ends the test where the text makes no sense. */
uint8_t *onnx_from_text(const char *text, size_t *ret_size);

#endif
