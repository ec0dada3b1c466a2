"""Reads KTAP on standard input with the kernel's own parser, whose folder is the argument.

Prints a line for each test without subtests: target, suite, name, status, of which those of a target or of the run have
less; then the number of errors.
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


def show(tests, names):
    for test in tests:
        path = [*names, test.name]
        if test.subtests:
            show(test.subtests, path)
        else:
            print("|".join([*path, test.status.name]))


show(root.subtests, [])
print(root.counts.errors)
