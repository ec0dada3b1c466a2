#!/usr/bin/env bash
# Three validators of JSON Schema, the same valid schemas: `if` alone, `dependencies`, what stands beside `$ref`, "constructor".
#
# Versions:  jsonschema 0.61.2 (Rust; PyPI: jsonschema-rs), jsonschema 4.26.0 (PyPI), ajv 8.20.0 (npm; `strict: false`, since
#            that is about style)
# One would guess: validators that pass the official test suite differ in `format` and in regular expressions, and agree on plain
#            structure.
# What happens:
#   if-alone      2020-12: an `if` without `then` and `else` still marks the properties that it looked at as evaluated, if it
#                 holds. ajv leaves such an `if` out altogether, and `unevaluatedProperties: false` refuses them.
#   dependencies  it is gone from 2020-12. Python's goes by that and takes everything; Rust's and ajv still enforce it.
#   beside-ref    draft-07: what stands beside `$ref` is ignored, says the draft, and so do Python's and Rust's. ajv enforces it.
#   constructor   a property of that name that is not there: ajv finds the one that every object of JavaScript inherits, which
#                 is no string, and refuses `{}`. The property `__proto__` it does not look at.
# Why it matters: a harness publishes schemas of its cases and reports. Editors check them with JavaScript, CI with Python, the
#            program with Rust, and a file that one refuses the others take. Tests with one validator do not show it.
# Seen:
#   if-alone      Rust true   Python true   ajv false
#   dependencies  Rust false  Python true   ajv false
#   beside-ref    Rust true   Python true   ajv false
#   constructor   Rust true   Python true   ajv false
#   proto         Rust false  Python false  ajv true
#
# Exit status: 0 as described, 1 if that has changed, 3 if a package cannot be had.
set -euo pipefail
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
missing() { echo "cannot be had: $*" >&2; exit 3; }
cd "$scratch"
python3 -m venv python || missing "a virtual environment of Python"
python/bin/pip install --quiet --disable-pip-version-check jsonschema==4.26.0 jsonschema-rs==0.61.2 || missing "jsonschema 4.26.0, jsonschema-rs 0.61.2"
# Node.js knows only CAs of its own.
export NODE_EXTRA_CA_CERTS="${NODE_EXTRA_CA_CERTS:-/etc/ssl/certs/ca-certificates.crt}"
timeout 100 npm install --silent --no-audit --no-fund ajv@8.20.0 >&2 || missing "ajv 8.20.0"
cat >tries.json <<'EOF'
[
  ["if-alone", {"$schema": "https://json-schema.org/draft/2020-12/schema",
    "if": {"properties": {"a": {"const": 1}}}, "unevaluatedProperties": false}, {"a": 1}],
  ["dependencies", {"$schema": "https://json-schema.org/draft/2020-12/schema",
    "dependencies": {"a": ["b"]}}, {"a": 1}],
  ["beside-ref", {"$schema": "http://json-schema.org/draft-07/schema#",
    "definitions": {"int": {"type": "integer"}}, "properties": {"a": {"$ref": "#/definitions/int", "maximum": 3}}}, {"a": 5}],
  ["constructor", {"$schema": "https://json-schema.org/draft/2020-12/schema",
    "properties": {"constructor": {"type": "string"}}}, {}],
  ["proto", {"$schema": "https://json-schema.org/draft/2020-12/schema",
    "properties": {"__proto__": {"type": "string"}}}, {"__proto__": 1}]
]
EOF
cat >try.js <<'EOF'
const Old = require("ajv").default, New = require("ajv/dist/2020").default;
for (const [, schema, value] of JSON.parse(require("fs").readFileSync("tries.json"))) {
    const Ajv = schema.$schema.includes("draft-07") ? Old : New;
    console.log(new Ajv({ strict: false }).validate(schema, value));
}
EOF
cat >try.py <<'EOF'
import json, sys
import jsonschema, jsonschema_rs

ajv = sys.stdin.read().split()
for (name, schema, value), javascript in zip(json.load(open("tries.json")), ajv, strict=True):
    rust = str(jsonschema_rs.validator_for(schema).is_valid(value)).lower()
    python = str(jsonschema.validators.validator_for(schema)(schema).is_valid(value)).lower()
    print(f"{name:<13} Rust {rust:<6} Python {python:<6} ajv {javascript}")
EOF
node try.js | python/bin/python try.py | tee seen
diff - seen <<'EOF' || { echo "the behaviour has changed" >&2; exit 1; }
if-alone      Rust true   Python true   ajv false
dependencies  Rust false  Python true   ajv false
beside-ref    Rust true   Python true   ajv false
constructor   Rust true   Python true   ajv false
proto         Rust false  Python false  ajv true
EOF
