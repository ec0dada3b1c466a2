"""Mutants that no case can tell, each with its reason: tools/mutants.toml."""

import pathlib
import re
import tomllib
from typing import NamedTuple

from .draw import Mutant

KEYS = {"file", "function", "kind", "line", "because"}


class KnownError(Exception):
    """The file is not as it must be."""


class Known(NamedTuple):
    """What mutants it is about, and why they cannot be told. `*` stands for anything; a key that is missing, too."""

    file: str
    function: str
    kind: str
    line: str
    because: str

    def matches(self, mutant: Mutant) -> bool:
        """Whether it is about this one."""
        pairs = [(self.file, mutant.file), (self.function, mutant.function), (self.kind, mutant.kind), (self.line, mutant.before)]
        return all(re.fullmatch(".*".join(map(re.escape, wanted.split("*"))), text) for wanted, text in pairs)


def read(path: pathlib.Path) -> list[Known]:
    """All entries, or what is wrong with the file."""
    try:
        entries = tomllib.loads(path.read_text()).get("mutant", [])
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise KnownError(f"{path}: {error}") from error
    for entry in entries:
        if entry.keys() - KEYS or not entry.get("because") or not isinstance(entry.get("file"), str):
            raise KnownError(f"{path}: {entry}: an entry has file and because, and may have function, kind and line")
    return [Known(**{"function": "*", "kind": "*", "line": "*", **entry}) for entry in entries]


def reason(mutant: Mutant, entries: list[Known]) -> str | None:
    """Why no case can tell this mutant, if that is known."""
    return next((entry.because for entry in entries if entry.matches(mutant)), None)


def unmatched(mutants: list[Mutant], entries: list[Known]) -> list[Known]:
    """Entries about nothing: the source has changed."""
    return [entry for entry in entries if not any(entry.matches(mutant) for mutant in mutants)]
