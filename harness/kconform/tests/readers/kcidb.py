"""Holds a submission on standard input against KernelCI's own schema."""

import json
import sys

import kcidb_io

kcidb_io.schema.LATEST.validate(json.load(sys.stdin))
