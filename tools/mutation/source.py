"""C as far as mutations need it: what is code, which function it is in, which expressions decide something.

No parser of C: the kernel's own style (a function's brace in column 1, constants in capitals) tells enough, and what
is misread does not compile, which costs that one mutation.
"""

import re
from typing import Iterator, NamedTuple


class Function(NamedTuple):
    """The body of a function, or what a macro stands for."""

    name: str
    start: int  # offsets into the text
    end: int


class Region(NamedTuple):
    """An expression that can stand in a choice between itself and its mutations."""

    function: str
    start: int
    end: int
    is_condition: bool  # only its truth matters


# Comments, strings, characters.
NOT_CODE = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.DOTALL)
DIRECTIVE = re.compile(r"^[ \t]*#(?:[^\n\\]|\\.|\\\n)*", re.MULTILINE)
# Sets of flags that are named outside of functions: BPF_ARRAY_CREATE_FLAG_MASK.
FLAGS_MACRO = re.compile(r"^[ \t]*#[ \t]*define[ \t]+(\w*(?:MASK|FLAGS)\w*)[ \t]*((?:[^\n\\]|\\\n)+)", re.MULTILINE)
ERRNO = re.compile(r"-E[A-Z0-9]{2,}\b")


def blank(text: str) -> str:
    """As many spaces, in as many lines."""
    return re.sub(r"[^\n]", " ", text)


def without_comments(text: str) -> str:
    """The code, every character in its place."""
    return NOT_CODE.sub(lambda found: blank(found.group()) if found.group()[0] == "/" else found.group(), text)


def without_strings(code: str) -> str:
    """The code, with nothing in its strings that could be taken for code."""
    return NOT_CODE.sub(lambda found: found.group()[0] + "_" * (len(found.group()) - 2) + found.group()[0], code)


def without_directives(code: str) -> str:
    """The code that is C's alone."""
    return DIRECTIVE.sub(lambda found: blank(found.group()), code)


def closing(code: str, opening: int, end: int) -> int | None:
    """Where the bracket at `opening` is closed."""
    depth = 0
    for at in range(opening, end):
        if code[at] in "([{":
            depth += 1
        elif code[at] in ")]}":
            depth -= 1
            if depth == 0:
                return at
    return None


def at_depth_0(code: str, start: int, end: int, pattern: str) -> Iterator[re.Match]:
    """What matches outside of all brackets."""
    wanted = re.compile(pattern)
    depth, at = 0, start
    while at < end:
        if code[at] in "([{":
            depth += 1
        elif code[at] in ")]}":
            depth -= 1
        elif depth == 0 and (found := wanted.match(code, at, end)):
            yield found
            at = max(found.end(), at + 1)
            continue
        at += 1


def trimmed(code: str, start: int, end: int) -> tuple[int, int]:
    """The stretch without the blanks around it."""
    while start < end and code[start].isspace():
        start += 1
    while end > start and code[end - 1].isspace():
        end -= 1
    return start, end


def functions(code: str) -> list[Function]:
    """The functions of a file, in order."""
    found = []
    for opening in re.finditer(r"^\{$", code, re.MULTILINE):
        closed = re.compile(r"^\}", re.MULTILINE).search(code, opening.end())
        if not closed:
            continue
        head = re.split(r"[;}]", code[:opening.start()])[-1]
        named = re.search(r"(\w+)\s*\(\s*(\w*)", head)
        if not named:
            continue
        # BPF_CALL_2(bpf_map_lookup_elem, …), SYSCALL_DEFINE3(bpf, …)
        name = named[2] if named[1].isupper() or re.search(r"[A-Z]{4}", named[1]) else named[1]
        found.append(Function(name, opening.start(), closed.end()))
    return found


def conditions(code: str, body: Function) -> Iterator[Region]:
    """Of `if`, `while` and `for`."""
    for found in re.finditer(r"\b(if|while|for)\s*\(", code[body.start:body.end]):
        opening = body.start + found.end() - 1
        end = closing(code, opening, body.end)
        if end is None:
            continue
        start = opening + 1
        if found[1] == "for":
            ends = [semicolon.start() for semicolon in at_depth_0(code, start, end, ";")]
            if len(ends) != 2:
                continue
            start, end = ends[0] + 1, ends[1]
        yield Region(body.name, *trimmed(code, start, end), is_condition=True)


def values(code: str, body: Function) -> Iterator[Region]:
    """What is returned and what is assigned, and the errnos that are left."""
    inside = code[body.start:body.end]
    for found in re.finditer(r"\breturn\b([^;]+);", inside):
        yield Region(body.name, *trimmed(code, body.start + found.start(1), body.start + found.end(1)), is_condition=False)
    for found in re.finditer(r"(?<![=!<>+\-*/%&|^])=(?!=)([^;{}]+);", inside):
        start, end = body.start + found.start(1), body.start + found.end(1)
        comma = next(at_depth_0(code, start, end, ","), None)
        yield Region(body.name, *trimmed(code, start, comma.start() if comma else end), is_condition=False)
    for found in ERRNO.finditer(inside):
        if not re.search(r"case\s*$", inside[:found.start()]):
            yield Region(body.name, body.start + found.start(), body.start + found.end(), is_condition=False)


def regions(text: str) -> list[Region]:
    """All expressions of a file that can be mutated; none overlaps another."""
    visible = without_strings(without_comments(text))
    code = without_directives(visible)
    found = [Region(macro[1], *trimmed(visible, macro.start(2), macro.end(2)), is_condition=False)
             for macro in FLAGS_MACRO.finditer(visible) if "|" in macro[2]]
    for body in functions(code):
        claimed: list[Region] = []
        for region in [*conditions(code, body), *values(code, body)]:
            free = all(region.end <= other.start or region.start >= other.end for other in claimed)
            if free and region.start < region.end and not DIRECTIVE.search(visible, region.start, region.end):
                claimed.append(region)
        found += claimed
    return sorted(found, key=lambda region: region.start)
