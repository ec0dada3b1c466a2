"""Tests of what needs neither a kernel nor a guest: `python3 -m unittest mutation.selftest` in ci/."""

import pathlib
import shutil
import subprocess
import tempfile
import unittest

from . import draw, known, source, state, trial

SAMPLE = '''// SPDX-License-Identifier: GPL-2.0
/* if (a == b) return -EINVAL; in a comment is no code */
#define SAMPLE_FLAG_MASK \\
	(BPF_F_RDONLY | BPF_F_WRONLY)

static int sample_check(union attr *attr)
{
	int err = -ENOENT, other = 3;

	if (attr->size == 0 ||
	    attr->flags & ~SAMPLE_FLAG_MASK)
		return -EINVAL;
	for (i = 0; i < attr->size + 1; i++)
		pr("== if (x < y) -EPERM");
	if (unlikely(!attr->ready && attr->count >= 2))
		return ERR_PTR(-EBUSY);
#ifdef CONFIG_NEVER
	err = attr->flags & BPF_F_LOCK;
#endif
	return attr->next->size > 1 ? -E2BIG : err;
}

BPF_CALL_2(sample_call, void *, map, u64, flags)
{
	return flags & BPF_F_CURRENT_CPU;
}
'''

# Every mutant: where, what, and the diff.
EXPECTED = [
    ("4:3 flag dropped", "SAMPLE_FLAG_MASK", "(BPF_F_RDONLY | BPF_F_WRONLY)", "(0 | BPF_F_WRONLY)"),
    ("4:18 flag dropped", "SAMPLE_FLAG_MASK", "(BPF_F_RDONLY | BPF_F_WRONLY)", "(BPF_F_RDONLY | 0)"),
    ("8:12 errno changed", "sample_check", "int err = -ENOENT, other = 3;", None),
    ("10:6 check negated", "sample_check", "if (attr->size == 0 || attr->flags & ~SAMPLE_FLAG_MASK)",
     "if (!(attr->size == 0 || attr->flags & ~SAMPLE_FLAG_MASK))"),
    ("10:6 check removed", "sample_check", "if (attr->size == 0 || attr->flags & ~SAMPLE_FLAG_MASK)", "if (0)"),
    ("10:6 operand dropped", "sample_check", "if (attr->size == 0 ||", "if (0 ||"),
    ("10:17 comparison shifted", "sample_check", "if (attr->size == 0 ||", "if (attr->size != 0 ||"),
    ("11:6 operand dropped", "sample_check", "attr->flags & ~SAMPLE_FLAG_MASK)", "0)"),
    ("11:20 flag dropped", "sample_check", "attr->flags & ~SAMPLE_FLAG_MASK)", "attr->flags & 0)"),
    ("12:10 errno changed", "sample_check", "return -EINVAL;", None),
    ("13:14 check negated", "sample_check", "for (i = 0; i < attr->size + 1; i++)", "for (i = 0; !(i < attr->size + 1); i++)"),
    ("13:14 check removed", "sample_check", "for (i = 0; i < attr->size + 1; i++)", "for (i = 0; 0; i++)"),
    ("13:16 comparison shifted", "sample_check", "for (i = 0; i < attr->size + 1; i++)", "for (i = 0; i <= attr->size + 1; i++)"),
    ("13:29 1 dropped", "sample_check", "for (i = 0; i < attr->size + 1; i++)", "for (i = 0; i < attr->size ; i++)"),
    ("15:6 check negated", "sample_check", "if (unlikely(!attr->ready && attr->count >= 2))", "if (!(unlikely(!attr->ready && attr->count >= 2)))"),
    ("15:6 check removed", "sample_check", "if (unlikely(!attr->ready && attr->count >= 2))", "if (0)"),
    ("15:15 operand dropped", "sample_check", "if (unlikely(!attr->ready && attr->count >= 2))", "if (unlikely(1 && attr->count >= 2))"),
    ("15:31 operand dropped", "sample_check", "if (unlikely(!attr->ready && attr->count >= 2))", "if (unlikely(!attr->ready && 1))"),
    ("15:43 comparison shifted", "sample_check", "if (unlikely(!attr->ready && attr->count >= 2))", "if (unlikely(!attr->ready && attr->count > 2))"),
    ("16:18 errno changed", "sample_check", "return ERR_PTR(-EBUSY);", None),
    ("18:22 flag dropped", "sample_check", "err = attr->flags & BPF_F_LOCK;", "err = attr->flags & 0;"),
    ("20:26 comparison shifted", "sample_check", "return attr->next->size > 1 ? -E2BIG : err;", "return attr->next->size >= 1 ? -E2BIG : err;"),
    ("20:32 errno changed", "sample_check", "return attr->next->size > 1 ? -E2BIG : err;", None),
    ("25:17 flag dropped", "sample_call", "return flags & BPF_F_CURRENT_CPU;", "return flags & 0;"),
]


class Drawing(unittest.TestCase):
    """What is drawn, and what is compiled."""

    maxDiff = None

    def setUp(self) -> None:
        self.mutants = draw.mutants("sample.c", SAMPLE)

    def test_every_mutant_of_a_file(self) -> None:
        found = [(mutant.key.removeprefix("sample.c:"), mutant.function, mutant.before, mutant.after) for mutant in self.mutants]
        wanted = [row if row[3] else (*row[:3], found[at][3] if at < len(found) else None) for at, row in enumerate(EXPECTED)]
        self.assertEqual(found, wanted)

    def test_another_errno_is_another_and_always_the_same(self) -> None:
        for mutant in self.mutants:
            self.assertNotEqual(mutant.before, mutant.after)
        self.assertEqual(self.mutants, draw.mutants("sample.c", SAMPLE))

    def test_lines_stay_where_they_are(self) -> None:
        text = draw.instrumented(SAMPLE, list(enumerate(self.mutants, 1)))
        lines, before = text.splitlines(), SAMPLE.splitlines()
        self.assertEqual(len(lines), len(before))
        self.assertEqual(lines[6], before[6])
        self.assertIn('pr("== if (x < y) -EPERM")', lines[13])

    @unittest.skipUnless(shutil.which("gcc"), "gcc is not here")
    def test_the_variable_chooses(self) -> None:
        text = "int f(int a, int b)\n{\n\tif (a < b && a)\n\t\treturn -EINVAL;\n\treturn 0;\n}\n"
        mutants = draw.mutants("f.c", text)
        main = "\nint main(void) { for (chosen = 0; chosen <= COUNT; chosen++) printf(\"%d%d%d \", f(1, 2), f(2, 2), f(0, 1)); }\n"
        header = f"static int chosen;\n#define {draw.CHOICE}_is(n) (chosen == n)\n#define EINVAL 1\n#define EPERM 2\n"
        header += "\n".join(f"#define {errno[1:]} 3" for errno in draw.ERRNOS if errno not in ("-EINVAL", "-EPERM"))
        with tempfile.TemporaryDirectory() as place:
            here = pathlib.Path(place)
            (here / f"{draw.CHOICE}.h").write_text(header)
            numbered = draw.instrumented(text, list(enumerate(mutants, 1)))
            (here / "f.c").write_text("#include <stdio.h>\n" + numbered + main.replace("COUNT", str(len(mutants))))
            subprocess.run(["gcc", "-w", "f.c", "-o", "f"], cwd=here, check=True)
            said = subprocess.run([here / "f"], capture_output=True, text=True, check=True).stdout.split()
        self.assertEqual(len(said), 1 + len(mutants))
        self.assertEqual(said[0], "-100")
        self.assertNotIn(said[0], said[1:])


class Reading(unittest.TestCase):
    """C as it is misread most easily."""

    def test_brackets_are_closed(self) -> None:
        code = "f(a[1], (b)) c"
        self.assertEqual(source.closing(code, 1, len(code)), 11)
        self.assertIsNone(source.closing("((", 0, 2))

    def test_names_of_functions(self) -> None:
        for head, name in [("static int a(int b)", "a"), ("SYSCALL_DEFINE3(bpf, int, cmd)", "bpf"),
                           ("int *\nlong_name(void)", "long_name"), ("__bpf_kfunc void g(void)", "g")]:
            self.assertEqual([found.name for found in source.functions(f"int x;\n\n{head}\n{{\n\treturn;\n}}\n")], [name])


class Knowing(unittest.TestCase):
    """Reasons and results."""

    def test_a_reason_fits_what_it_says(self) -> None:
        mutant = draw.mutants("sample.c", SAMPLE)[-1]
        row = {"file": "sample.c", "function": "*", "kind": "*", "line": "*", "because": "so"}
        for change, fits in [({}, True), ({"line": "return flags & *;"}, True), ({"line": "return flags"}, False), ({"function": "f"}, False)]:
            self.assertEqual(known.Known(**{**row, **change}).matches(mutant), fits, change)

    def test_the_file_that_is_kept_can_be_read(self) -> None:
        self.assertTrue(known.read(pathlib.Path(__file__).parent.parent / "mutants.toml"))

    def test_what_is_seen_comes_out_of_a_report(self) -> None:
        step = {"outputs": [{"name": "seen", "hex": "21".encode().hex()}]}
        document = {"cases": [{"suite": "a/b", "results": []}, {"suite": "a/b.zz_seen", "results": [{"steps": [step]}]}]}
        self.assertEqual(trial.seen_in(document), {"a/b": [1, 4]})

    def test_only_suites_that_come_by_it_run_and_the_nearest_first(self) -> None:
        verdicts = {"map/hash::a": "passed", "map/ringbuf::b": "passed", "prog::c": "passed"}
        baseline = trial.Baseline({}, verdicts, {"00": [9], "map/ringbuf": [1], "prog": [1, 2]}, 1)
        for number, stages in [(1, [["map/ringbuf"], ["prog"]]), (2, [["prog"]]), (3, []), (9, [["map/ringbuf"], ["map/hash", "prog"]])]:
            self.assertEqual(baseline.stages(number, "ringbuf.c"), stages, number)

    def test_a_suite_in_which_a_guest_was_booted_may_come_by_any(self) -> None:
        verdicts = {"map/hash::a": "passed", "map/ringbuf::b": "passed", "prog::c": "passed"}
        baseline = trial.Baseline({}, verdicts, {"00": [7, 9], "map/hash": [9, 1], "map/ringbuf": [7, 9, 3], "prog": [2]}, 1)
        self.assertEqual(baseline.stages(2, "ringbuf.c"), [["map/ringbuf"], ["prog"]])
        self.assertEqual(baseline.stages(3, "syscall.c"), [["map/ringbuf"]])

    def test_cases_that_differ(self) -> None:
        baseline = trial.Baseline({}, {"a": "passed", "b": "passed", "c": "skipped"}, {}, 1)
        self.assertEqual(trial.differing({"a": "lost", "b": "failed", "c": "skipped", "d": "failed"}, baseline), ["b", "a"])

    def test_a_crash_counts_though_another_case_only_wavered(self) -> None:
        baseline = trial.Baseline({}, {"a::x": "passed", "a::y": "passed", "a::z": "passed"}, {}, 1)
        crashing = {"a::x": "crashed", "a::y": "flaky", "a::z": "failed"}

        class Told(trial.Runner):
            def __init__(self) -> None:
                self.selections = []

            def run(self, number, selection, limit, cases=None):
                self.selections.append(selection)
                return ({"a::z": "passed"} if "--exact" in selection else crashing), {}

        for told, selections in [(["a::z"], [["--exact", "a::z"]]), (["a::y", "a::x"], [["a::*"]]),
                                 (["a::z", "a::y"], [["--exact", "a::z"], ["a::*"]])]:
            runner = Told()
            self.assertEqual(runner.is_sure(1, crashing, told, baseline, ["a::*"], 1), selections[-1] == ["a::*"])
            self.assertEqual(runner.selections, selections)

    def test_what_was_not_over_in_time_is_run_again_as_long_as_the_kernel_without_a_mutant_takes(self) -> None:
        baseline = trial.Baseline({}, {"a::x": "passed", "a::y": "passed"}, {"a": [1]}, 1)
        mutant = draw.mutants("sample.c", SAMPLE)[-1]._replace(file="arraymap.c")

        class Slow(trial.Runner):
            def __init__(self, last) -> None:
                super().__init__([], pathlib.Path(), None, pathlib.Path(place))
                self.verdicts = [{"a::x": "passed", "a::y": "lost"}, {}, {"a::x": "passed", "a::y": last}, {"a::y": last}]
                self.runs = []

            def run(self, number, selection, limit, cases=None):
                self.runs.append((number, limit))
                return self.verdicts[len(self.runs) - 1], {"partial": len(self.runs) == 1}

        with tempfile.TemporaryDirectory() as place:
            for last, outcome in [("passed", "survived"), ("lost", "killed")]:
                slow = Slow(last)
                self.assertEqual(slow.try_out(1, mutant, baseline, set()).outcome, outcome)
                self.assertEqual([number for number, _ in slow.runs[:3]], [1, 0, 1])

    def test_a_survivor_is_tried_again_with_what_has_changed(self) -> None:
        mutant = draw.mutants("sample.c", SAMPLE)[-1]
        with tempfile.TemporaryDirectory() as place:
            cases, results = pathlib.Path(place) / "cases", pathlib.Path(place) / "results.json"
            cases.mkdir()
            for name in ("kept", "changed", "gone"):
                (cases / f"{name}.yaml").write_text(name)
            before = state.State(results, state.suites_of(cases), "kernel")
            before.put(mutant, trial.Result("survived", [], ""))
            self.assertIsNotNone(before.get(mutant))
            (cases / "gone.yaml").unlink()
            (cases / "changed.yaml").write_text("other")
            (cases / "new.yaml").write_text("new")
            after = state.State(results, state.suites_of(cases), "kernel")
            self.assertIsNone(after.get(mutant))
            self.assertEqual(after.survived(mutant), {"kept"})
            after.put(mutant, trial.Result("killed", ["new::a"], ""))
            self.assertEqual(after.survived(mutant), set())
