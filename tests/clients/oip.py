# oip.py - holds lqnetd's answers against the Open Inference Protocol's own OpenAPI document.
#
# SPDX-License-Identifier: Apache-2.0
"""usage: oip.py DOCUMENT URL TOKEN MODEL

DOCUMENT is open_inference_rest.yaml of https://github.com/kserve/open-inference-protocol, URL is HOST:PORT. Every path and
method of the document is called, what is sent and what comes back is validated, and no status but those of the document may
come. Needs Debian's python3-yaml and python3-jsonschema."""
import json, sys, urllib.error, urllib.request
import jsonschema, yaml

DOCUMENT, URL, TOKEN, MODEL = sys.argv[1:]
with open(DOCUMENT) as file:
    document = yaml.safe_load(file)
resolver = jsonschema.RefResolver("", document)


def validate(content, value):
    if content:
        schema = content["application/json"]["schema"]
        jsonschema.validate(value, schema, cls=jsonschema.Draft4Validator, resolver=resolver)


def call(method, path, body=None):
    request = urllib.request.Request(f"http://{URL}{path}", json.dumps(body).encode() if body else None,
                                     {"Authorization": "Bearer " + TOKEN}, method=method)
    try:
        with urllib.request.urlopen(request) as reply:
            return reply.status, json.load(reply)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def metadata(version=""):
    return call("GET", f"/v2/models/{MODEL}{version}")[1]


def bodies(operation):
    """What to send, and the status that answers it."""
    if "requestBody" not in operation:
        return [(None, "200")]
    tensor = metadata()["inputs"][0]
    shape = [2] + tensor["shape"][1:]
    size = 1
    for dim in shape:
        size *= dim
    good = {"name": tensor["name"], "shape": shape, "datatype": tensor["datatype"], "data": [0.5] * size}
    nested = [[[0.25] * shape[3]] * shape[2]] * shape[1]
    return [({"inputs": [good]}, "200"),
            ({"id": "an id", "inputs": [{**good, "data": [nested] * 2}], "outputs": [{"name": metadata()["outputs"][0]["name"]}]}, "200"),
            ({"inputs": [{**good, "parameters": {"priority": 2}}],
              "outputs": [{"name": metadata()["outputs"][0]["name"], "parameters": {"classification": 3}}]}, "200"),
            ({"inputs": [{**good, "shape": [3] + shape[1:]}]}, "400"),
            ({"inputs": []}, "400"),
            ({"inputs": [{**good, "datatype": "INT64"}]}, "400")]


passed = failed = 0
for path, item in document["paths"].items():
    for method in ("get", "post"):
        operation = item.get(method)
        if not operation:
            continue
        real = path.replace("${MODEL_NAME}", MODEL).replace("${MODEL_VERSION}", metadata()["versions"][0])
        for body, expected in bodies(operation):
            what = f"{method.upper()} {real} {expected}"
            try:
                if body:
                    validate(operation["requestBody"]["content"], body)
                status, reply = call(method.upper(), real, body)
                assert str(status) == expected, f"status {status}: {reply}"
                validate(operation["responses"][expected].get("content"), reply)
                print("ok", what)
                passed += 1
            except Exception as error:
                print("failed", what, error)
                failed += 1
print(f"{passed} passed, {failed} failed")
sys.exit(failed != 0 or passed == 0)
