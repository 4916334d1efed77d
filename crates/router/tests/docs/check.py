"""What the router says of its interface, held against what it does: `check.py URL`."""

import base64
import hashlib
import json
import re
import sys
import urllib.error
import urllib.parse
import urllib.request

from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

URL = sys.argv[1]


def ask(verb, path, body=None):
    """Status, headers and the first MiB of what comes within a second."""
    request = urllib.request.Request(URL + path, method=verb.upper(), data=body)
    request.add_header("Content-Type", "application/json")
    request.add_header("X-Metlog", "1")
    try:
        answer = urllib.request.urlopen(request, timeout=10)
    except urllib.error.HTTPError as error:
        answer = error
    streams = answer.headers.get_content_type() == "text/event-stream"
    return answer.status, answer.headers, b"" if streams else answer.read(1 << 20)


def fits(schema, value, what):
    """Whether it is as the document says. Everything a schema refers to is in the document itself."""
    errors = list(Draft202012Validator({**schema, "components": SPEC["components"]}).iter_errors(value))
    assert not errors, f"{what}: {errors[0].message}"


def resolved(part):
    while "$ref" in part:
        ref, part = part["$ref"], SPEC
        for key in ref.removeprefix("#/").split("/"):
            part = part[key]
    return part


def answered(verb, path, operation, target, body=None, expected=None):
    what = f"{verb} {target}"
    status, headers, text = ask(verb, target, body)
    assert str(status) in operation["responses"], f"{what}: {status} is not in the document: {text[:300]}"
    assert expected in (None, status), f"{what}: {status}: {text[:300]}"
    content = resolved(operation["responses"][str(status)]).get("content", {})
    kind = headers.get_content_type()
    assert kind in content, f"{what}: {kind}, but the document has {list(content)}"
    if kind == "application/json":
        fits(content[kind]["schema"], json.loads(text), what)


SPEC = json.loads(ask("get", "/v1/openapi.json")[2])
OpenAPIV31SpecValidator(SPEC).validate()

position = json.loads(ask("get", "/v1/messages?limit=1")[2])["positions"][0]
tried = 0
for path, verbs in SPEC["paths"].items():
    target = path.replace("{position}", str(position)).replace("{name}", "store")
    for verb, operation in verbs.items():
        body = None
        for content in operation.get("requestBody", {}).get("content", {}).values():
            fits(content["schema"], content["example"], f"the example of {verb} {path}")
            body = json.dumps(content["example"]).encode()
        answered(verb, path, operation, target, body, 200)
        # Each parameter by itself: its example, its default, all that it may be, its bounds and what is beyond them.
        for parameter in operation.get("parameters", []):
            schema, name = parameter["schema"], parameter["name"]
            if parameter["in"] != "query":
                continue
            right = schema.get("enum", []) + [schema.get(key) for key in ("default", "minimum", "maximum")]
            wrong = [schema["minimum"] - 1] if "minimum" in schema else []
            wrong += [schema["maximum"] + 1] if "maximum" in schema else []
            wrong += ["x"] if "enum" in schema or schema["type"] != "string" else []
            for values, expected in ((right + [parameter.get("example")], 200), (wrong, 400)):
                for value in values:
                    if value is not None:
                        value = json.dumps(value) if isinstance(value, bool) else value
                        # Columns go with CSV.
                        more = {"format": "csv"} if name == "columns" else {}
                        query = urllib.parse.urlencode({name: value, **more})
                        answered(verb, path, operation, f"{target}?{query}", body, expected)
                        tried += 1
        if "400" in operation["responses"] and (operation.get("parameters") or operation.get("requestBody")):
            if operation.get("requestBody"):
                answered(verb, path, operation, target, b"{", 400)
            else:
                answered(verb, path, operation, f"{target}?nonsense=1", None, 400)
    for verb in {"get", "post", "put", "patch", "delete"} - set(verbs):
        status = ask(verb, target, b"")[0]
        assert status == 405, f"{verb} {path} is not in the document: {status}"
assert tried > 40, tried

# The page: nothing from elsewhere, and nothing that its own policy would not let run.
for path in ("/docs", "/docs/"):
    status, headers, page = ask("get", path)
    page, policy = page.decode(), headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none';") and "unsafe" not in policy, policy
    for tag in ("script", "style"):
        (text,) = re.findall(f"<{tag}[^>]*>(.*?)</{tag}>", page, re.S)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy, policy
    markup = re.sub(r"<(script|style)>.*?</\1>", "", page, flags=re.S)
    assert not re.search(r"<[^>]*\s(style|on\w+)\s*=", markup), "an attribute that the policy forbids"
    assert not re.search(r"(https?:)?//[a-z]", markup) and "innerHTML" not in page
