# triton.py - calls lqnetd through the client of Triton and KServe users.
#
# SPDX-License-Identifier: Apache-2.0
"""Calls lqnetd through tritonclient.http, unchanged, and compares the answers.

usage: triton.py URL ADMIN_URL TOKEN MODEL [CA]      URL is HOST:PORT; with CA, a PEM file, it speaks TLS
TOKEN needs the scopes infer, read and admin. MODEL is unloaded and loaded again. Nobody else may use it. Exit status 1: a group failed."""
import base64, itertools, ssl, struct, sys, traceback, urllib.request, zlib
import numpy as np
import tritonclient.http as http

URL, ADMIN_URL, TOKEN, MODEL, CA = (sys.argv[1:] + [None])[:5]
AUTHORIZED = {"Authorization": "Bearer " + TOKEN}

def connect(url, token=True, **options):
    c = http.InferenceServerClient(url, ssl=bool(CA), ssl_options={"ca_certs": CA}, **options)
    c.register_plugin(lambda request: token and request.headers.update(AUTHORIZED))
    return c
def tensor(array, binary=True, name=None):
    return [http.InferInput(name or INPUT, list(array.shape), http.np_to_triton_dtype(array.dtype)).set_data_from_numpy(array, binary)]
def output(binary=True, classes=0):
    return [http.InferRequestedOutput(OUTPUT, binary_data=binary, class_count=classes)]
def infer(array, binary=True, binary_out=True, classes=0, by=None, **options):
    return (by or client).infer(MODEL, tensor(array, binary), outputs=output(binary_out, classes), **options)
def same(result, expected):
    a = result.as_numpy(OUTPUT)
    assert a.dtype == expected.dtype and a.shape == expected.shape and a.tobytes() == expected.tobytes(), (a, expected)
def fails(status, text, call, *args, **options):
    try:
        got = call(*args, **options)
    except http.InferenceServerException as e:
        got = e
    assert str(got)[1:4] in status.split() and text in got.message(), f"wanted {status} {text!r}, got {got}"
def png(pixels):
    (c, h, w), rows = pixels.shape, b"".join(b"\0" + row.tobytes() for row in pixels.transpose(1, 2, 0))
    chunks = (b"IHDR", struct.pack(">IIBBBBB", w, h, 8, 2 if c == 3 else 0, 0, 0, 0)), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks)

def test_health():
    assert connect(URL, token=False).is_server_live() and connect(URL, token=False).is_server_ready()
    assert client.is_model_ready(MODEL) and client.is_model_ready(MODEL, VERSION)
    assert not client.is_model_ready("nobody") and not client.is_model_ready(MODEL, "987654")
def test_metadata_config_index():
    server, config = client.get_server_metadata(query_params={"a": [1, "b c"]}), client.get_model_config(MODEL)
    assert server["name"] and server["version"] and "binary_tensor_data" in server["extensions"] and meta["name"] == config["name"] == MODEL
    assert client.get_model_metadata(MODEL, VERSION) == meta and client.get_model_config(MODEL, VERSION) == config
    assert config["max_batch_size"] >= len(many) and config["input"][0]["dims"] == SHAPE and config["output"][0]["dims"] == [CLASSES]
    assert all([m["state"] for m in c.get_model_repository_index() if m["name"] == MODEL] == ["READY"] for c in (client, admin))
def test_datatypes_as_bytes_and_json():
    files = np.array([png(p) for p in pixels], dtype=object)
    texts = np.array([base64.b64encode(f).decode() for f in files], dtype=object)
    assert reference.dtype == np.float32 and reference.shape == (3, CLASSES) and np.isfinite(reference).all()
    for binary_out in True, False:
        for array, binary in (pixels, True), (pixels, False), (files, True), (files.reshape(3, 1), True), (texts, False):
            same(infer(array, binary, binary_out), reference)
        same(infer(floats, True, binary_out), infer(floats, False, not binary_out).as_numpy(OUTPUT))
    same(client.infer(MODEL, tensor(pixels)), reference)  # no outputs asked for
def test_classification():
    for binary in True, False:
        texts = infer(pixels, True, binary, classes=3).as_numpy(OUTPUT)
        parts = np.array([(t.decode() if binary else t).split(":")[:2] for t in texts.flatten()], dtype=float)
        assert texts.shape == (3, 3) and (parts[:, 1].reshape(3, 3) == np.argsort(-reference)[:, :3]).all()
        assert np.allclose(parts[:, 0].reshape(3, 3), -np.sort(-reference)[:, :3], rtol=1e-6)
def test_request_parameters():
    r = infer(pixels, request_id='a-1 ü"', priority=1, timeout=30_000_000, model_version=VERSION, sequence_id=7, sequence_start=True,
              parameters={"mine": "x", "number": 1.5, "flag": True}, query_params={"a": [1, "b c"]}, headers={"X-Mine": "1"})
    same(r, reference)
    assert [r.get_response()[k] for k in ("id", "model_name", "model_version")] == ['a-1 ü"', MODEL, VERSION]
    same(infer(pixels, priority=9, timeout=0), reference)
    fails("504", "", infer, pixels, timeout=1)
def test_compression():
    for asked, replied, binary in itertools.product((None, "gzip", "deflate"), (None, "gzip", "deflate"), (True, False)):
        same(infer(many, binary, binary, request_compression_algorithm=asked, response_compression_algorithm=replied), many_reference)
def test_async_infer():
    for concurrency in 1, 4:
        with connect(URL, concurrency=concurrency) as c:
            jobs = [c.async_infer(MODEL, tensor(pixels[i % 3:i % 3 + 1], i % 2 == 0), outputs=output(i % 4 < 2), request_id=str(i),
                                  request_compression_algorithm=[None, "gzip"][i % 2]) for i in range(12)]
            for i, r in enumerate(job.get_result(timeout=60) for job in jobs):
                same(r, reference[i % 3:i % 3 + 1])
                assert r.get_response()["id"] == str(i)
            fails("404", "nobody", c.async_infer("nobody", tensor(pixels)).get_result)
def test_generate_request_body_parse_response_body():
    opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=CA)))
    for binary, coding in (True, "identity"), (False, "gzip"), (False, "deflate"):
        data, size = client.generate_request_body(tensor(many, binary), outputs=output(binary), request_id="own")
        headers = {**AUTHORIZED, "Accept-Encoding": coding, **({"Inference-Header-Content-Length": size} if size else {})}
        with opener.open(urllib.request.Request(f"http{'s' if CA else ''}://{URL}/v2/models/{MODEL}/infer", data, headers)) as reply:
            size, used = reply.headers["Inference-Header-Content-Length"], reply.headers["Content-Encoding"]
            assert used == (None if binary else coding)
            same(client.parse_response_body(reply.read(), header_length=size and int(size), content_encoding=used), many_reference)
def test_statistics():
    before, _, after = client.get_inference_statistics(MODEL), infer(pixels), client.get_inference_statistics(MODEL, VERSION)
    (before,), (after,) = before["model_stats"], after["model_stats"]
    assert after["inference_count"] - before["inference_count"] == 3 and (after["name"], after["version"]) == (MODEL, VERSION)
    assert after["inference_stats"]["success"]["count"] - before["inference_stats"]["success"]["count"] == 1
    assert MODEL in [m["name"] for m in client.get_inference_statistics()["model_stats"]]
def test_tokens():
    c = connect(URL, token=False)
    fails("401", "token", c.get_server_metadata)
    fails("401", "token", infer, many.astype(np.float32), by=c, headers={"Authorization": "Bearer wrong-wrong-wrong-wrong"})
    same(infer(pixels, by=c, headers=dict(AUTHORIZED)), reference)
    fails("403", "admin", client.load_model, MODEL)
def test_errors():
    for call in client.get_model_metadata, client.get_model_config, client.get_inference_statistics:
        fails("404", "nobody", call, "nobody")
        fails("404", "987654", call, MODEL, "987654")
    fails("404", "nobody", client.infer, "nobody", tensor(many.astype(np.float32)))
    for array, text in ((pixels[:, :, 1:], "shape"), (pixels[0], "shape"), (pixels[:0], "shape"), (floats.astype(np.float64), "FP64"),
                        (pixels.astype(np.int32), "INT32"), (floats * np.float32(np.nan), "data")):
        fails("400", text, infer, array)
    fails("400", "other", client.infer, MODEL, tensor(pixels, name="other"))
    fails("400", "other", client.infer, MODEL, tensor(pixels), outputs=[http.InferRequestedOutput("other")])
    fails("422", "", infer, np.array([b"no picture"], dtype=object))
def test_body_beyond_the_default_of_max_body_bytes():
    fails("413 400", "", infer, np.zeros([17_000_000 // floats[0].nbytes + 1] + SHAPE, np.float32))
def test_headers_that_the_client_left_in_a_dictionary():  # infer() writes its own into the one that it is given
    for options in dict(request_compression_algorithm="gzip"), dict(response_compression_algorithm="gzip"):
        same(infer(pixels, headers=(mine := dict(AUTHORIZED)), **options), reference)
        assert len(mine) > 1 and client.is_server_live(headers=mine) and client.get_model_metadata(MODEL, headers=mine) == meta
        assert client.get_model_repository_index(headers=mine) and client.get_inference_statistics(headers=mine)
def test_load_unload():
    admin.unload_model(MODEL, unload_dependents=True)
    assert not client.is_model_ready(MODEL) and [m["state"] for m in admin.get_model_repository_index() if m["name"] == MODEL] == ["UNAVAILABLE"]
    fails("503", MODEL, infer, pixels)
    admin.load_model(MODEL)
    same(infer(pixels), reference)  # loaded again, the same answers
    fails("404", "nobody", admin.load_model, "nobody")
    fails("400", "folder", admin.load_model, MODEL, config="{}", files={"file:1/model.lq": b"x"})
def test_extensions_that_are_not_there():
    for call in client.get_log_settings, client.get_trace_settings, client.get_system_shared_memory_status, client.get_cuda_shared_memory_status:
        fails("404", "", call)
    fails("400", "shared", client.infer, MODEL, [http.InferInput(INPUT, list(pixels.shape), "UINT8").set_shared_memory("r", pixels.size)])

client, admin, random = connect(URL), connect(ADMIN_URL), np.random.default_rng(1)
meta = client.get_model_metadata(MODEL)
INPUT, SHAPE = meta["inputs"][0]["name"], meta["inputs"][0]["shape"][1:]
OUTPUT, CLASSES, VERSION = meta["outputs"][0]["name"], meta["outputs"][0]["shape"][1], meta["versions"][-1]
pixels, floats = random.integers(0, 256, [3] + SHAPE, dtype=np.uint8), random.standard_normal([2] + SHAPE).astype(np.float32)
many, reference = np.concatenate([pixels] * 13), infer(pixels).as_numpy(OUTPUT)
many_reference, failed, tests = np.concatenate([reference] * 13), 0, [n for n in globals() if n.startswith("test_")]
for name in tests:
    try:
        globals()[name]()
        print("ok", name[5:])
    except Exception as e:
        failed += 1
        lines = [frame.lineno for frame in traceback.extract_tb(e.__traceback__)[1:] if frame.filename == __file__]
        print(f"FAILED {name[5:]}, lines {lines}: {type(e).__name__}: {str(e)[:300]}")
print(f"{len(tests) - failed} passed, {failed} failed")
sys.exit(failed > 0)
