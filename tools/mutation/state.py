"""What is known from earlier runs, so that a run goes on where the last one stopped."""

import dataclasses
import hashlib
import json
import pathlib
import threading

from .draw import Mutant
from .trial import Baseline, Result, Runner

Suites = dict[str, str]  # of the name of a suite, a hash of its file


def suites_of(cases: pathlib.Path) -> Suites:
    """All suites."""
    return {str(file.relative_to(cases).with_suffix("")): hashlib.sha256(file.read_bytes()).hexdigest()[:16]
            for file in sorted(cases.rglob("*.yaml"))}


@dataclasses.dataclass
class State:
    """The results so far, in one file that is replaced after each mutant."""

    path: pathlib.Path
    suites: Suites
    fingerprint: str  # of the kernel

    def __post_init__(self) -> None:
        self.lock = threading.Lock()
        self.suite = hashlib.sha256(json.dumps(self.suites).encode()).hexdigest()[:16]
        known = json.loads(self.path.read_text()) if self.path.exists() else {}
        self.results: dict[str, dict] = known.get("results", {})
        self.baselines: dict[str, dict] = known.get("baselines", {})
        # By their `suite`: the suites that a mutant survived.
        self.tried: dict[str, Suites] = {**known.get("tried", {}), self.suite: self.suites}

    def save(self) -> None:
        """Writes all; a run that is killed meanwhile leaves the file as it was."""
        used = {result["suite"] for result in self.results.values()} | {self.suite}
        tried = {suite: self.tried[suite] for suite in sorted(used & self.tried.keys())}
        partial = self.path.with_suffix(".partial")
        partial.write_text(json.dumps({"baselines": self.baselines, "tried": tried, "results": self.results}, indent=1))
        partial.replace(self.path)

    def baseline(self, runner: Runner) -> Baseline:
        """That of these cases on this kernel. Of suites that are as they were, what they did is known."""
        earlier = self.baselines.get(self.fingerprint)
        if not earlier or earlier["suites"] != self.suites:
            found = runner.baseline(self.suites, Baseline(**earlier) if earlier else None)
            self.baselines = {self.fingerprint: found._asdict()}
            self.save()
        return Baseline(**self.baselines[self.fingerprint])

    def known(self, mutant: Mutant) -> dict | None:
        """What came of the mutant whenever it was run last."""
        known = self.results.get(mutant.key)
        return known if known and [known["before"], known["after"]] == [mutant.before, mutant.after] else None

    def get(self, mutant: Mutant) -> Result | None:
        """The result, where it still holds: one that is killed stays so as long as its cases are there."""
        known = self.known(mutant)
        if not known:
            return None
        still = known["suite"] == self.suite
        if known["outcome"] == "killed":
            cases = next(iter(self.baselines.values()), {}).get("verdicts", {})
            still = still or any(case in cases for case in known["cases"])
        return Result(known["outcome"], known["cases"], known["how"]) if still else None

    def survived(self, mutant: Mutant) -> set[str]:
        """The suites, as they are now, that the mutant is known to survive."""
        known = self.known(mutant)
        if not known or known["outcome"] == "killed":
            return set()
        return {suite for suite, hashed in self.tried.get(known["suite"], {}).items() if self.suites.get(suite) == hashed}

    def put(self, mutant: Mutant, result: Result) -> None:
        """Keeps a result."""
        with self.lock:
            self.results[mutant.key] = {"before": mutant.before, "after": mutant.after, "suite": self.suite, **result._asdict()}
            self.save()
