"""What is known from earlier runs, so that a run goes on where the last one stopped."""

import dataclasses
import hashlib
import json
import pathlib
import threading

from .draw import Mutant
from .trial import Baseline, Result, Runner


def suite_of(cases: pathlib.Path) -> str:
    """Changes with any case file."""
    hashed = hashlib.sha256()
    for file in sorted(cases.rglob("*.yaml")):
        hashed.update(f"{file.relative_to(cases)}\0".encode() + file.read_bytes() + b"\0")
    return hashed.hexdigest()


@dataclasses.dataclass
class State:
    """The results so far, in one file that is replaced after each mutant."""

    path: pathlib.Path
    suite: str
    fingerprint: str  # of the kernel

    def __post_init__(self) -> None:
        self.lock = threading.Lock()
        known = json.loads(self.path.read_text()) if self.path.exists() else {}
        self.results: dict[str, dict] = known.get("results", {})
        self.baselines: dict[str, dict] = known.get("baselines", {})

    def save(self) -> None:
        """Writes all; a run that is killed meanwhile leaves the file as it was."""
        partial = self.path.with_suffix(".partial")
        partial.write_text(json.dumps({"baselines": self.baselines, "results": self.results}, indent=1))
        partial.replace(self.path)

    def baseline(self, runner: Runner) -> Baseline:
        """That of these cases on this kernel."""
        known = self.baselines.get(self.fingerprint + self.suite)
        if not known:
            found = runner.baseline()
            known = found._asdict()
            self.baselines = {self.fingerprint + self.suite: known}
            self.save()
        return Baseline(**known)

    def get(self, mutant: Mutant) -> Result | None:
        """The result, where it still holds: one that is killed stays so as long as its cases are there."""
        known = self.results.get(mutant.key)
        if not known or [known["before"], known["after"]] != [mutant.before, mutant.after]:
            return None
        still = known["suite"] == self.suite
        if known["outcome"] == "killed":
            cases = next(iter(self.baselines.values()), {}).get("verdicts", {})
            still = still or any(case in cases for case in known["cases"])
        return Result(known["outcome"], known["cases"], known["how"]) if still else None

    def put(self, mutant: Mutant, result: Result) -> None:
        """Keeps a result."""
        with self.lock:
            self.results[mutant.key] = {"before": mutant.before, "after": mutant.after, "suite": self.suite, **result._asdict()}
            self.save()


