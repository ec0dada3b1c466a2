"""What came of it, for people."""

import dataclasses
import itertools

from .draw import Mutant
from .kernel import Build
from .known import Known, reason
from .state import State


def shown(mutant: Mutant) -> str:
    """The diff."""
    return f"      - {mutant.before}\n      + {mutant.after}"


def by_function(mutants: list[Mutant], text) -> list[str]:
    """Under their file and function, in the order of their lines."""
    lines = []
    place = lambda mutant: (mutant.file, mutant.line, mutant.column)  # noqa: E731
    groups = itertools.groupby(sorted(mutants, key=place), key=lambda mutant: (mutant.file, mutant.function))
    for (file, function), group in groups:
        lines.append(f"  kernel/bpf/{file} {function}()")
        lines += [f"    {mutant.key}{text(mutant)}\n{shown(mutant)}" for mutant in group]
    return lines


def listed(mutants: list[Mutant]) -> str:
    """What was drawn."""
    return "\n".join(by_function(mutants, lambda mutant: ""))


def percent(part: int, whole: int) -> float:
    """Of nothing, all."""
    return 100 * part / whole if whole else 100.0


@dataclasses.dataclass
class Tally:
    """The mutants that were drawn, by what came of them."""

    release: str
    drawn: int
    killed: list[Mutant]
    survived: list[Mutant]  # though a case comes by them
    not_reached: list[Mutant]
    known: list[tuple[Mutant, str]]  # not killed, with the reason
    known_but_killed: list[Mutant]
    unknown: int  # not run yet
    left_out: int  # not compiled

    @staticmethod
    def of(chosen: list[Mutant], build: Build, state: State, entries: list[Known]) -> "Tally":
        """Of the results so far."""
        tally = Tally(build.release, len(chosen), [], [], [], [], [], 0, 0)
        for mutant in chosen:
            result, because = state.get(mutant), reason(mutant, entries)
            if mutant.key in build.refused | build.absent:
                tally.left_out += 1
            elif result is None:
                tally.unknown += 1
            elif result.outcome == "killed":
                tally.killed.append(mutant)
                tally.known_but_killed += [mutant] if because else []
            elif because:
                tally.known.append((mutant, because))
            else:
                (tally.survived if result.outcome == "survived" else tally.not_reached).append(mutant)
        return tally

    def rate(self) -> float:
        """Percent killed of those that a case could tell, as far as is known."""
        return percent(len(self.killed), len(self.killed) + len(self.survived) + len(self.not_reached))

    def text(self, how: str) -> str:
        """Survivors first, the counts last."""
        reasons = {mutant.key: f"  ({because})" for mutant, because in self.known}
        lines = []
        for title, mutants in [
            ("cannot be told apart, as tools/mutants.toml says:", [mutant for mutant, _ in self.known]),
            ("killed, though tools/mutants.toml says that they cannot be:", self.known_but_killed),
            ("no case comes by:", self.not_reached),
            ("survived:", self.survived),
        ]:
            if mutants:
                lines += [title, *by_function(mutants, lambda mutant: reasons.get(mutant.key, "")), ""]
        run = len(self.killed) + len(self.survived) + len(self.not_reached) + len(self.known)
        lines.append(f"Linux {self.release}, {how}: {self.drawn} mutants drawn, {len(self.killed)} killed, "
                     f"{len(self.survived)} survived, {len(self.not_reached)} not come by, "
                     f"{len(self.known)} that cannot be told apart")
        if self.left_out:
            lines.append(f"{self.left_out} do not compile or are not in this kernel's config, and do not count")
        if self.unknown:
            lines.append(f"{self.unknown} have no result yet: run the same command again")
        lines.append(f"kill rate: {percent(len(self.killed), run):.1f} % of all, "
                     f"{self.rate():.1f} % of those that a case could tell")
        return "\n".join(lines)
