"""One-line mutations of C: which there are, and the file in which a number chooses one of them."""

import hashlib
import re
from typing import Callable, Iterator, NamedTuple

from . import source
from .source import Region

# The variable that chooses; 0 is the kernel as it is.
CHOICE = "kconform_mutant"


# In what is written instead: what was there before.
ITSELF = "\0"


class Change(NamedTuple):
    """What is written instead of a stretch of text, which may be part of it."""

    kind: str
    start: int
    end: int
    text: str


class Mutant(NamedTuple):
    """A mutation and where it is."""

    file: str  # below kernel/bpf
    function: str
    line: int  # counted from 1
    column: int
    kind: str
    before: str  # the lines that it touches, on one line
    after: str
    change: Change
    region: Region

    @property
    def key(self) -> str:
        """The mutant's name; unique for one kernel source."""
        return f"{self.file}:{self.line}:{self.column} {self.kind}"


ERRNOS = ["-EINVAL", "-EPERM", "-ENOENT", "-EBUSY", "-E2BIG", "-EEXIST", "-EOPNOTSUPP", "-EBADF", "-EACCES"]
COMPARISON = re.compile(r"(?<![<>=!\-+*/&|^])(<=|>=|==|!=|<|>)(?![<>=])")
SHIFTED = {"<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "=="}
FLAG = re.compile(r"~?\b[A-Z][A-Z0-9]*_[A-Z0-9_]+\b(?!\s*\()")
ONE = re.compile(r"[+-]\s*1\b(?!\s*<<)")
WRAPPER = re.compile(r"(?:!\s*)*(?:unlikely|likely)?\s*\(")


def other_errno(errno: str, seed: str) -> str:
    """The same one for the same place, whatever is drawn."""
    others = [other for other in ERRNOS if other != errno]
    return others[hashlib.sha256(seed.encode()).digest()[0] % len(others)]


def errnos(code: str, region: Region) -> Iterator[Change]:
    """`-EINVAL` becomes another."""
    for found in source.ERRNO.finditer(code, region.start, region.end):
        place = f"{region.function} {found.start() - region.start}"
        yield Change("errno changed", found.start(), found.end(), other_errno(found.group(), place))


def comparisons(code: str, region: Region) -> Iterator[Change]:
    """`<` becomes `<=`, `==` becomes `!=`."""
    for found in COMPARISON.finditer(code, region.start, region.end):
        yield Change("comparison shifted", found.start(), found.end(), SHIFTED[found.group()])


def flags(code: str, region: Region) -> Iterator[Change]:
    """`flags & BPF_F_LOCK` and `BPF_F_RDONLY | BPF_F_WRONLY` lose a flag."""
    for found in FLAG.finditer(code, region.start, region.end):
        before, after = code[region.start:found.start()].rstrip(), code[found.end():region.end].lstrip()
        alone = r"(?<![&|])[&|]"  # not && and ||
        if re.search(alone + "$", before) or re.match(r"[&|](?![&|=])", after):
            yield Change("flag dropped", found.start(), found.end(), "0")


def off_by_one(code: str, region: Region) -> Iterator[Change]:
    """`size + 1` becomes `size`."""
    for found in ONE.finditer(code, region.start, region.end):
        if re.search(r"[\w)\]]\s*$", code[region.start:found.start()]):
            yield Change("1 dropped", found.start(), found.end(), "")


def checks(code: str, region: Region) -> Iterator[Change]:
    """A condition is never, or is the other way round."""
    condition = code[region.start:region.end]
    if not region.is_condition or re.fullmatch(r"[01]|true|false", condition):
        return
    yield Change("check removed", region.start, region.end, "0")
    if len(re.findall(r"[!=]=|[<>&|]", condition)) == 1 and re.search(r"[!=]=", condition):
        return  # as its comparison shifted
    negated = condition[1:] if re.fullmatch(r"![\w>.\-]+", condition) else f"!({ITSELF})"
    yield Change("check negated", region.start, region.end, negated)


def operands(code: str, region: Region) -> Iterator[Change]:
    """`a || b` and `a && b` lose an operand."""
    def split(start: int, end: int) -> Iterator[Change]:
        start, end = source.trimmed(code, start, end)
        for operator, neutral in (("||", "0"), ("&&", "1")):
            places = [found.start() for found in source.at_depth_0(code, start, end, re.escape(operator))]
            if places:
                for first, last in zip([start, *(place + 2 for place in places)], [*places, end]):
                    yield Change("operand dropped", *source.trimmed(code, first, last), neutral)
                    yield from split(first, last)
                return
        wrapped = WRAPPER.match(code, start, end)
        if wrapped and source.closing(code, wrapped.end() - 1, end) == end - 1:
            yield from split(wrapped.end(), end - 1)

    yield from split(region.start, region.end)


KINDS: list[Callable[[str, Region], Iterator[Change]]] = [errnos, checks, operands, comparisons, flags, off_by_one]


def lines_of(text: str, change: Change) -> tuple[int, int]:
    """The stretch of the lines that are touched."""
    start = text.rfind("\n", 0, change.start) + 1
    end = text.find("\n", change.end)
    return start, len(text) if end < 0 else end


def squeezed(text: str) -> str:
    """On one line."""
    return re.sub(r"\s+", " ", text.replace("\\\n", " ")).strip()


def mutants(file: str, text: str) -> list[Mutant]:
    """All mutations of a file, in the order of its lines."""
    visible = source.without_comments(text)
    code = source.without_strings(visible)
    found: dict[str, Mutant] = {}
    for region in source.regions(text):
        for kind in KINDS:
            for change in kind(code, region):
                change = change._replace(text=change.text.replace(ITSELF, visible[change.start:change.end]))
                first, last = lines_of(text, change)
                line = text.count("\n", 0, change.start) + 1
                column = change.start - text.rfind("\n", 0, change.start)
                after = text[first:change.start] + change.text + text[change.end:last]
                mutant = Mutant(file, region.function, line, column, change.kind,
                                squeezed(text[first:last]), squeezed(after), change, region)
                if mutant.before != mutant.after:
                    found.setdefault(mutant.key, mutant)
    return sorted(found.values(), key=lambda mutant: (mutant.line, mutant.column, mutant.kind))


def instrumented(text: str, numbered: list[tuple[int, Mutant]]) -> str:
    """The file with all of these mutants in it, of which the variable chooses one. Every line stays where it is."""
    code = source.without_comments(text)
    of_region: dict[Region, list[tuple[int, Change]]] = {}
    for number, mutant in numbered:
        of_region.setdefault(mutant.region, []).append((number, mutant.change))
    for region, changes in sorted(of_region.items(), key=lambda item: -item[0].start):
        truth = "!!" if region.is_condition else ""
        choices = ""
        for number, change in changes:
            mutated = code[region.start:change.start] + change.text + code[change.end:region.end]
            choices += f"{CHOICE}_is({number}) ? {truth}({squeezed(mutated)}) : "
        text = f"{text[:region.start]}({choices}{truth}({text[region.start:region.end]})){text[region.end:]}"
    return f'#include "{CHOICE}.h" //' + text if text.startswith("/") else f'#include "{CHOICE}.h"\n#line 1\n{text}'
