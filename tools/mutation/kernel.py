"""The kernel that holds all mutants: its source, its config, its build."""

import dataclasses
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
from typing import Callable, Iterable

from . import draw
from .draw import CHOICE, Mutant

VERSION = "6.12"
PACKAGE = f"linux-source-{VERSION}"
PACKED = pathlib.Path(f"/usr/src/{PACKAGE}.tar.xz")
FILES = [f"{stem}.c" for stem in """
    syscall arraymap hashtab lpm_trie queue_stack_maps ringbuf bloom_filter map_in_map stackmap inode
    local_storage bpf_local_storage""".split()]

# How to see that a package is here | the package | what for.
NEEDS: list[tuple[Callable[[], bool], str, str]] = [
    (lambda: bool(shutil.which("make")), "make", "builds the kernel"),
    (lambda: bool(shutil.which("gcc")), "gcc", "builds the kernel"),
    (lambda: bool(shutil.which("flex")), "flex", "reads Kconfig files"),
    (lambda: bool(shutil.which("bison")), "bison", "reads Kconfig files"),
    (lambda: bool(shutil.which("bc")), "bc", "makes the kernel's time constants"),
    (lambda: bool(shutil.which("xz")), "xz-utils", "unpacks the source"),
    (lambda: pathlib.Path("/usr/include/libelf.h").exists(), "libelf-dev", "objtool reads ELF with it"),
    (lambda: bool(shutil.which("pahole")), "dwarves", "makes the kernel's BTF, which programs of some types need"),
]
SOURCE_NEED = (PACKED.exists, PACKAGE, "the kernel's source (or give --source)")

HEADER = f"""/* Which mutant this kernel is, and which it came by. */
#ifndef KCONFORM_MUTANT_H
#define KCONFORM_MUTANT_H
extern unsigned int {CHOICE};
extern unsigned char {CHOICE}_seen[];
static inline __attribute__((always_inline)) int {CHOICE}_is(unsigned int number)
{{
	{CHOICE}_seen[number] = 1;
	return __builtin_expect({CHOICE} == number, 0);
}}
#endif
"""

# A word of the kernel's command line chooses. What was come by is read from sysfs, as hex digits (a page holds 16,000
# mutants), and forgotten when that file is written to.
DEFINITION = f"""
#include <linux/moduleparam.h>
#include "{CHOICE}.h"
unsigned int {CHOICE} __read_mostly;
unsigned char {CHOICE}_seen[MUTANTS + 8];
core_param({CHOICE}, {CHOICE}, uint, 0444);
static int {CHOICE}_seen_get(char *buffer, const struct kernel_param *param)
{{
	unsigned int at, bit, digit, size = 0;

	for (at = 0; at < MUTANTS; at += 4) {{
		for (digit = 0, bit = 0; bit < 4; bit++)
			digit |= {CHOICE}_seen[at + bit] << bit;
		buffer[size++] = "0123456789abcdef"[digit];
	}}
	return size;
}}
static int {CHOICE}_seen_set(const char *text, const struct kernel_param *param)
{{
	memset({CHOICE}_seen, 0, MUTANTS);
	return 0;
}}
static const struct kernel_param_ops {CHOICE}_seen_ops = {{
	.get = {CHOICE}_seen_get,
	.set = {CHOICE}_seen_set,
}};
__module_param_call("", {CHOICE}_seen, &{CHOICE}_seen_ops, NULL, 0644, -1, 0);
"""


class BuildError(Exception):
    """The kernel cannot be built here."""


@dataclasses.dataclass
class Build:
    """A kernel with all mutants in it. A mutant's number is its place in `mutants`, from 1."""

    release: str
    mutants: list[Mutant]
    refused: set[str]  # keys of those that do not compile
    absent: set[str]  # keys of those that this config leaves out
    image: pathlib.Path
    config: pathlib.Path
    fingerprint: str


def missing(source_given: bool) -> list[tuple[str, str]]:
    """The packages that are not here, with what they are for."""
    needs = NEEDS if source_given else [*NEEDS, SOURCE_NEED]
    return [(package, why) for here, package, why in needs if not here()]


def install(packages: list[str], say: Callable[[str], None]) -> None:
    """Installs packages, with the lists of packages brought up to date where apt does not know one."""
    # Somebody else's apt-get may be at work: it is waited for.
    apt = [*([] if os.geteuid() == 0 else ["sudo"]), "env", "DEBIAN_FRONTEND=noninteractive",
           "apt-get", "--quiet", "--yes", "--option", "DPkg::Lock::Timeout=600"]
    if not all(map(known_to_apt, packages)):
        say("downloading apt's package lists")
        subprocess.run([*apt, "update"], check=True, stdout=sys.stderr)
    unknown = [package for package in packages if not known_to_apt(package)]
    if unknown:
        raise BuildError(f"apt has no {', '.join(unknown)} (Debian's security suite has {PACKAGE}; or give --source)")
    say(f"installing {' '.join(packages)}")
    subprocess.run([*apt, "install", "--no-install-recommends", *packages], check=True, stdout=sys.stderr)


def known_to_apt(package: str) -> bool:
    """Whether there is a version that can be installed."""
    told = subprocess.run(["apt-cache", "policy", package], env={**os.environ, "LC_ALL": "C"}, capture_output=True, text=True)
    return bool(re.search(r"Candidate: [^(]", told.stdout))


def find_source(given: pathlib.Path | None, work: pathlib.Path, say: Callable[[str], None]) -> pathlib.Path:
    """The kernel's source: the one given, or Debian's, unpacked."""
    if given:
        source = given
    else:
        source = work / PACKAGE
        if not source.exists() and PACKED.exists():
            say(f"unpacking {PACKED}")
            partial = work / f"{PACKAGE}.partial"
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            subprocess.run(["tar", "-xf", PACKED, "-C", partial], check=True)
            (partial / PACKAGE).rename(source)
            partial.rmdir()
    if not given and not source.exists():
        raise BuildError(f"{PACKED} is not here: run tools/mutants --install, or give an unpacked source with --source")
    if not (source / "kernel/bpf/syscall.c").exists():
        raise BuildError(f"{source} is no kernel source: it has no kernel/bpf/syscall.c")
    return source


def release(source: pathlib.Path) -> str:
    """As the source's Makefile has it: 6.12.48."""
    text = (source / "Makefile").read_text()
    numbers = [re.search(rf"^{name} = (\d+)", text, re.MULTILINE) for name in ("VERSION", "PATCHLEVEL", "SUBLEVEL")]
    return ".".join(number[1] for number in numbers if number)


def all_mutants(source: pathlib.Path) -> list[Mutant]:
    """Those of all files, in order."""
    return [mutant for file in FILES for mutant in draw.mutants(file, (source / "kernel/bpf" / file).read_text())]


class Builder:
    """Builds in a copy of the source, of which unchanged files are links."""

    def __init__(self, source: pathlib.Path, work: pathlib.Path, fragments: Iterable[pathlib.Path], jobs: int,
                 say: Callable[[str], None]):
        self.source, self.jobs, self.say = source, jobs, say
        self.tree = work / "linux"
        self.out = self.tree / "build"
        self.known = work / "build.json"
        self.wanted = "".join(fragment.read_text() for fragment in fragments)
        self.mutants = all_mutants(source)
        self.refused: set[str] = set()

    def build(self) -> Build:
        """Builds, or finds what was built before."""
        image, config = self.out / "arch/x86/boot/bzImage", self.out / ".config"
        fingerprint = self.fingerprint()
        known = json.loads(self.known.read_text()) if self.known.exists() else {}
        if known.get("fingerprint") != fingerprint or not image.exists():
            self.known.unlink(missing_ok=True)
            self.copy()
            self.configure()
            self.compile()
            known = {"fingerprint": fingerprint, "refused": sorted(self.refused), "absent": sorted(self.absent())}
            self.known.write_text(json.dumps(known, indent=1))
        return Build(release(self.source), self.mutants, set(known["refused"]), set(known["absent"]), image, config, fingerprint)

    def fingerprint(self) -> str:
        """Of all that the kernel is made of."""
        parts = [release(self.source), self.wanted, HEADER, DEFINITION, *(f"{mutant}" for mutant in self.mutants)]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()

    def copy(self) -> None:
        """Makes the tree. Files are linked, so they must be replaced, never written to."""
        if self.tree.exists():
            return
        self.say(f"copying {self.source}")
        partial = self.tree.with_name("linux.partial")
        shutil.rmtree(partial, ignore_errors=True)

        def link(one: str, other: str) -> None:
            try:
                os.link(one, other)
            except OSError:
                shutil.copy2(one, other)

        shutil.copytree(self.source, partial, symlinks=True, copy_function=link)
        partial.rename(self.tree)

    def write(self, path: str, text: str) -> None:
        """Replaces a file of the tree, if it is another."""
        place = self.tree / path
        if place.exists() and place.read_text() == text:
            return
        place.unlink(missing_ok=True)
        place.write_text(text)

    def configure(self) -> None:
        """The smallest kernel, and what is wanted beyond."""
        self.out.mkdir(exist_ok=True)
        self.make("configuring", "tinyconfig")
        with open(self.out / ".config", "a") as config:
            config.write(self.wanted)  # of two lines about an option the last counts
        self.make("configuring", "olddefconfig")
        self.say("building the kernel: many minutes the first time, one afterwards")

    def compile(self) -> None:
        """Builds, without the mutants that the compiler refuses."""
        for _ in range(20):
            self.write_files()
            log = self.make("building", "bzImage", "--keep-going", may_fail=True)
            if log is None:
                return
            bad = {(file, int(line)) for file, line in re.findall(r"kernel/bpf/(\w+\.c):(\d+)[:)].*?(?:error|undefined)", log)}
            refused = {mutant.key for mutant in self.mutants if self.stands_on(mutant, bad)} - self.refused
            if not refused:
                raise BuildError(f"the kernel does not build; {self.out}/make.log:\n" + "\n".join(log.splitlines()[-20:]))
            self.say(f"{len(refused)} mutants do not compile and are left out")
            self.refused |= refused
        raise BuildError("the kernel does not build, whichever mutants are left out")

    def stands_on(self, mutant: Mutant, places: set[tuple[str, int]]) -> bool:
        """Whether the expression is on one of these lines."""
        text = self.text(mutant.file)
        first = text.count("\n", 0, mutant.region.start) + 1
        last = text.count("\n", 0, mutant.region.end) + 1
        return any((mutant.file, line) in places for line in range(first, last + 1))

    def text(self, file: str) -> str:
        """A source file as it is without mutants."""
        return (self.source / "kernel/bpf" / file).read_text()

    def write_files(self) -> None:
        """The mutated files, and what chooses among the mutants."""
        self.write(f"kernel/bpf/{CHOICE}.h", HEADER)
        definition = DEFINITION.replace("MUTANTS", str(len(self.mutants) + 1))
        self.write("kernel/bpf/core.c", self.text("core.c") + definition)
        for file in FILES:
            numbered = [(number, mutant) for number, mutant in enumerate(self.mutants, 1)
                        if mutant.file == file and mutant.key not in self.refused]
            self.write(f"kernel/bpf/{file}", draw.instrumented(self.text(file), numbered))

    def absent(self) -> set[str]:
        """What the preprocessor took away."""
        stems = [f"kernel/bpf/{file.removesuffix('.c')}" for file in FILES]
        stems = [stem for stem in stems if (self.out / f"{stem}.o").exists()]
        self.make("preprocessing", *(f"{stem}.i" for stem in stems))
        texts = [(self.out / f"{stem}.i").read_text() for stem in stems]
        present = {int(number) for text in texts for number in re.findall(rf"{CHOICE}_is\((\d+)\)", text)}
        return {mutant.key for number, mutant in enumerate(self.mutants, 1)
                if number not in present and mutant.key not in self.refused}

    def make(self, doing: str, *arguments: str, may_fail: bool = False) -> str | None:
        """Runs make; what it said, if it failed."""
        with open(self.out / "make.log", "w") as log:
            done = subprocess.run(["make", "-C", self.tree, f"O={self.out}", f"-j{self.jobs}", *arguments], stdout=log,
                                  stderr=subprocess.STDOUT, env={**os.environ, "LC_ALL": "C", "KBUILD_BUILD_TIMESTAMP": "0"})
        if done.returncode == 0:
            return None
        said = (self.out / "make.log").read_text(errors="replace")
        if not may_fail:
            raise BuildError(f"{doing}: make failed; {self.out}/make.log:\n" + "\n".join(said.splitlines()[-20:]))
        return said
