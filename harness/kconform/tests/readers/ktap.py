"""Reads KTAP on standard input with the kernel's own parser, whose folder is the argument.

Prints a line for each test of the third level: target, suite, name, status; then the number of errors.
"""

import io
import sys

sys.path.insert(0, sys.argv[1])
stdout, sys.stdout = sys.stdout, io.StringIO()  # the parser prints a summary of its own
import kunit_parser

lines = sys.stdin.read().split("\n")
try:
    root = kunit_parser.parse_run_tests(lines)
except TypeError:  # since Linux 6.14 it is told where to print
    from kunit_printer import Printer

    root = kunit_parser.parse_run_tests(lines, Printer(sys.stdout))
sys.stdout = stdout
for target in root.subtests:
    for suite in target.subtests:
        for case in suite.subtests:
            print("|".join([target.name, suite.name, case.name, case.status.name]))
print(root.counts.errors)
