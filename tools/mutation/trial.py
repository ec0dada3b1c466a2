"""Runs the cases on a mutant and says whether they tell it from the kernel as it is."""

import collections
import json
import pathlib
import shutil
import signal
import subprocess
import threading
import time
from typing import NamedTuple

from .draw import CHOICE, Mutant
from .kernel import Build

# Suites that have most to say of a file, which are run first: parts of their names.
NEAREST = {
    "arraymap.c": ["array", "map_in_map", "percpu", "tail_call", "batch"],
    "hashtab.c": ["hash", "lru", "percpu", "batch"],
    "lpm_trie.c": ["lpm"],
    "queue_stack_maps.c": ["queue"],
    "ringbuf.c": ["ringbuf"],
    "bloom_filter.c": ["bloom"],
    "map_in_map.c": ["map_in_map", "of_maps"],
    "stackmap.c": ["stack"],
    "inode.c": ["pin", "bpffs", "token", "lifetime"],
    "local_storage.c": ["storage", "cgroup"],
    "bpf_local_storage.c": ["storage"],
    "syscall.c": ["attr", "create", "access", "fd/", "freeze", "prog/load", "attach"],
}

# Verdicts that a busy machine can bring about too.
DOUBTFUL = {"lost", "timed_out", "crashed", "flaky"}
# The case that says which mutants were come by since it ran last; it stands behind each suite.
SEEN_SUITE = ".zz_seen"
SEEN = f"""
about: Which mutants this kernel has come by.
cases:
  - name: seen
    guest_only: true
    steps:
      - openat: [AT_FDCWD, {{str: /sys/module/kernel/parameters/{CHOICE}_seen}}, O_RDWR]
        save: fd
      - read: [$fd, {{out: 4096, as: seen}}, 4096]
        ret: {{min: 1}}
      - pwrite64: [$fd, {{str: "0"}}, 1, 0]
        ret: 1
"""
# What is seen before the first suite.
BOOT = "00"

Verdicts = dict[str, str]  # of case ids


class TrialError(Exception):
    """The cases cannot be run here."""


class Baseline(NamedTuple):
    """What the kernel does as it is."""

    suites: dict[str, str]  # a hash of each file
    verdicts: Verdicts  # without those that are not always the same
    seen: dict[str, list[int]]  # the mutants that each suite comes by
    seconds: float

    def stages(self, number: int, file: str) -> list[list[str]]:
        """The suites that come by a mutant: those to begin with, and the others."""
        suites = sorted({case.split("::")[0] for case in self.verdicts})
        if number not in self.seen.get(BOOT, []):
            suites = [suite for suite in suites if number in self.seen.get(suite, []) or self.booted_within(suite)]
        near = [suite for suite in suites if any(word in suite for word in NEAREST[file])]
        return [stage for stage in (near, [suite for suite in suites if suite not in near]) if stage]

    def booted_within(self, suite: str) -> bool:
        """Whether a new guest took over in this suite: what the cases before came by is forgotten, and a boot is seen again."""
        boot = set(self.seen.get(BOOT, []))
        return bool(boot) and boot <= set(self.seen.get(suite, []))

    def limit(self, suites: list[str]) -> float:
        """Seconds after which these suites hang."""
        share = sum(case.split("::")[0] in suites for case in self.verdicts) / len(self.verdicts)
        return 45 + 4 * share * self.seconds


class Result(NamedTuple):
    """What became of a mutant."""

    outcome: str  # killed, survived, not reached
    cases: list[str]  # the first of those that tell it
    how: str


class Runner:
    """kconform, on one kernel with a mutant chosen."""

    def __init__(self, kconform: list[str], cases: pathlib.Path, build: Build, work: pathlib.Path):
        self.kconform, self.cases, self.build = kconform, cases, build
        self.place = work / "trials"
        self.place.mkdir(parents=True, exist_ok=True)
        self.running: set[subprocess.Popen] = set()
        self.stopped = False
        self.usual_seconds: dict[tuple[str, ...], float] = {}  # of selections that were not over in time
        self.measuring = threading.Lock()

    def stop(self) -> None:
        """Ends what runs; its results are nobody's."""
        self.stopped = True
        for process in list(self.running):
            process.send_signal(signal.SIGINT)

    def run(self, number: int, selection: list[str], limit: float, cases: pathlib.Path | None = None) -> tuple[Verdicts, dict]:
        """The verdicts with that mutant, and the whole report."""
        name = f"mutant-{number}"
        images, report = self.place / name, self.place / f"{name}.json"
        images.mkdir(exist_ok=True)
        (images / f"{name}.yaml").write_text(self.image(number))
        report.unlink(missing_ok=True)
        command = [*self.kconform, "run", "--quiet", "--color", "never", "--cold", "--jobs", "1", "--report", f"json={report}",
                   "--images", images, "--target", name, "--cases", cases or self.cases, *selection]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                   start_new_session=True)
        self.running.add(process)
        try:
            said = self.ended(process, limit)
        finally:
            self.running.discard(process)
            if process.poll() is None:
                process.kill()
                process.wait()
        if self.stopped:
            raise TrialError("stopped")
        if not report.exists():
            raise TrialError(f"kconform wrote no report:\n{said}")
        document = json.loads(report.read_text())
        report.unlink()
        (images / f"{name}.yaml").unlink()
        images.rmdir()
        return {case["id"]: case["results"][0]["status"] for case in document["cases"] if case["results"]}, document

    def ended(self, process: subprocess.Popen, limit: float) -> str:
        """What it said; when it takes too long it is asked to end with what it has."""
        try:
            return process.communicate(timeout=limit)[0]
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
            try:
                return process.communicate(timeout=60)[0]
            except subprocess.TimeoutExpired as late:
                raise TrialError("kconform does not end after SIGINT") from late

    def image(self, number: int) -> str:
        """The guest, as vm/README.md says."""
        return json.dumps({
            "about": "A kernel with mutants, one of them chosen.", "arch": "x86_64", "machine": "q35", "console": "ttyS0",
            "kernel": {"path": str(self.build.image), "config": str(self.build.config)}, "cmdline": [f"{CHOICE}={number}"],
            "boot_timeout": 60, "time_factor": 2,
        })

    def baseline(self, suites: dict[str, str], earlier: Baseline | None) -> Baseline:
        """Without a mutant, twice; once to see what each suite comes by. Only suites that are new, or others than before, are run."""
        begun = time.monotonic()
        changed = [suite for suite, hashed in suites.items() if not earlier or earlier.suites.get(suite) != hashed]
        selection = [f"{suite}::*" for suite in changed] if earlier else []
        watchers = [f"{suite}{SEEN_SUITE}::*" for suite in [BOOT, *changed]] if earlier else []
        watched, document = self.run(0, watchers + selection, 3600, self.watched_cases())
        usual, _ = self.run(0, selection, 3600)
        lost = document["targets"][0].get("lost")
        if lost:
            raise TrialError(f"the kernel without a mutant cannot be used: {json.dumps(lost)}")
        steady = {case: verdict for case, verdict in usual.items() if watched.get(case) == verdict and verdict not in DOUBTFUL}
        seen = seen_in(document)
        if not any(seen.values()):
            raise TrialError("the kernel does not say which mutants it came by")
        seconds = (time.monotonic() - begun) / 2
        if earlier:
            kept = {case: verdict for case, verdict in earlier.verdicts.items()
                    if case.split("::")[0] in suites.keys() - set(changed)}
            seconds, steady, seen = max(seconds, earlier.seconds), {**kept, **steady}, {**earlier.seen, **seen}
        return Baseline(suites, steady, seen, seconds)

    def watched_cases(self) -> pathlib.Path:
        """The case files, with the one that sees behind each."""
        watched = self.place / "cases"
        shutil.rmtree(watched, ignore_errors=True)
        shutil.copytree(self.cases, watched)
        for file in [*watched.rglob("*.yaml"), watched / f"{BOOT}.yaml"]:
            file.with_suffix(f"{SEEN_SUITE}.yaml").write_text(SEEN)
        return watched

    def try_out(self, number: int, mutant: Mutant, baseline: Baseline, survived: set[str]) -> Result:
        """Whether any case tells this mutant from the kernel as it is: first those of the nearest suites that come by it, and of
        suites that it is known to survive none."""
        stages = baseline.stages(number, mutant.file)
        if not stages:
            return Result("not reached", [], "no case comes by it")
        for stage in stages:
            suites = [suite for suite in stage if suite not in survived]
            if not suites:
                continue
            selection = [f"{suite}::*" for suite in suites]
            limit = baseline.limit(suites)
            verdicts, document = self.run(number, selection, limit)
            if document.get("partial"):
                limit = self.measured_limit(selection)
                verdicts, _ = self.run(number, selection, limit)
            told = differing(verdicts, baseline)
            if told and self.is_sure(number, verdicts, told, baseline, selection, limit):
                return Result("killed", told[:5], describe(verdicts, told))
        return Result("survived", [], "")

    def measured_limit(self, selection: list[str]) -> float:
        """Seconds after which these suites hang, by what the kernel without a mutant takes for them now: suites whose cases want a
        fresh guest each take far longer than their share of the cases."""
        key = tuple(selection)
        with self.measuring:
            if key not in self.usual_seconds:
                begun = time.monotonic()
                self.run(0, selection, 3600)
                self.usual_seconds[key] = time.monotonic() - begun
        return 45 + 4 * self.usual_seconds[key]

    def is_sure(self, number: int, verdicts: Verdicts, told: list[str], baseline: Baseline, selection: list[str],
                limit: float) -> bool:
        """A few cases, or only what a busy machine could do as well, are tried once more."""
        firm = [case for case in told if verdicts[case] not in DOUBTFUL]
        if len(firm) > 3:
            return True
        again = [["--exact", *firm]] if firm else []
        again += [selection] if len(firm) < len(told) else []
        return any(differing(self.run(number, cases, limit)[0], baseline) for cases in again)


def seen_in(document: dict) -> dict[str, list[int]]:
    """The numbers of the mutants that each suite has come by."""
    seen = {}
    for case in document["cases"]:
        if case["suite"].endswith(SEEN_SUITE):
            outputs = [output for result in case["results"] for step in result.get("steps", []) for output in step.get("outputs", [])]
            digits = "".join(bytes.fromhex(output["hex"]).decode() for output in outputs if output["name"] == "seen")
            seen[case["suite"].removesuffix(SEEN_SUITE)] = [
                4 * at + bit for at, digit in enumerate(digits) for bit in range(4) if int(digit, 16) >> bit & 1]
    return seen


def differing(verdicts: Verdicts, baseline: Baseline) -> list[str]:
    """The cases that came to another end; those whose verdict says most come first."""
    told = [case for case, verdict in verdicts.items() if case in baseline.verdicts and baseline.verdicts[case] != verdict]
    return sorted(told, key=lambda case: verdicts[case] in DOUBTFUL)


def describe(verdicts: Verdicts, told: list[str]) -> str:
    """`3 failed, 1 crashed`."""
    counts = collections.Counter(verdicts[case] for case in told)
    return ", ".join(f"{count} {verdict}" for verdict, count in counts.most_common())
