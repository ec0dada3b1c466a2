"""Reads JUnit's XML on standard input as others do, and prints what they find.

Jenkins' xUnit plugin takes only what is valid by its XML Schema; a line `invalid by …` is what it would complain of.
junitparser reads what any server reads: a line for each test case.
"""

import io
import pathlib
import sys

import junitparser
from lxml import etree

text = sys.stdin.buffer.read()
for schema in sorted(pathlib.Path(sys.argv[1]).glob("*.xsd")):
    xsd = etree.XMLSchema(etree.parse(str(schema)))
    xsd.validate(etree.fromstring(text))
    for said in sorted({error.message for error in xsd.error_log}):
        print(f"invalid by {schema.stem}: {said}")


def test(suite, case):
    status = "passed"
    for found in case.result:
        status = f"{type(found).__name__.lower()} {found.type}: {(found.message or '').splitlines()[:1]}"
    place = [case._elem.attrib.get(key, "-") for key in ("file", "line")]
    return "|".join([suite.name, case.classname, case.name, ":".join(place), status])


report = junitparser.JUnitXml.fromroot(junitparser.JUnitXml.fromstring(text)._elem)
for suite in report:
    counted = f"{suite.tests} tests, {suite.failures} failures, {suite.errors} errors, {suite.skipped} skipped"
    print(f"{suite.name}: {counted}, {', '.join(f'{p.name}={p.value}' for p in suite.properties())}")
    # What is said to be counted is what is there.
    before = (suite.tests, suite.failures, suite.errors, suite.skipped)
    suite.update_statistics()
    assert before == (suite.tests, suite.failures, suite.errors, suite.skipped), suite.name
    for case in suite:
        print(f"  {test(suite, case)}")
