//! BPF objects that outlive a case: ids that a kernel has given out since, and still holds when the case's processes are
//! gone. Ids only grow (`idr_alloc_cyclic` in kernel/bpf/syscall.c), so what is new is what lies beyond the last one.

use kconform_abi::Arch;
use kconform_plan::{
    Buffer, Bytes, Call, Expect, Function, Observation, Op, Output, Piece, Plan, RecordKind, Region, Ret,
    Save, Source, Step, Value,
};

use super::Opened;
use crate::case::Case;
use crate::judge::{Failure, FailureKind, Verdict};

/// The kinds of objects and the commands that walk their ids.
const KINDS: &[(&str, &str)] = &[
    ("map", "BPF_MAP_GET_NEXT_ID"),
    ("program", "BPF_PROG_GET_NEXT_ID"),
    ("link", "BPF_LINK_GET_NEXT_ID"),
    ("BTF", "BPF_BTF_GET_NEXT_ID"),
];

/// How long what a case used may take to go: maps and programs are freed after an RCU grace period.
const PATIENCE_MS: u64 = 3_000;

/// More objects than any kernel has.
const MOST: u64 = 100_000;

const ENOENT: i32 = 2;

/// What is known of leaks on a kernel.
#[derive(Debug)]
pub(super) enum Leaks {
    /// They are not looked for.
    Ignored,
    /// They are looked for, but what there is has not been asked yet.
    Unknown,
    /// What there was before the case.
    Since(Ids),
    /// The agent may not walk the ids (CAP_SYS_ADMIN), or was lost.
    Hidden,
}

impl Leaks {
    pub(super) fn is_ignored(&self) -> bool {
        matches!(self, Leaks::Ignored)
    }

    /// What is known when a kernel is started.
    pub(super) fn of_a_fresh_kernel(&self) -> Leaks {
        if self.is_ignored() { Leaks::Ignored } else { Leaks::Unknown }
    }

    /// Takes note of what there is before a case; nothing else is in flight.
    pub(super) fn before(&mut self, opened: &mut Opened) {
        if matches!(self, Leaks::Unknown) {
            let arch = opened.kernel.arch;
            *self = Ids::now(arch, &mut |plan| ask(opened, plan)).map_or(Leaks::Hidden, Leaks::Since);
        }
    }

    /// The verdict on a case, which fails when it passed but left something behind.
    pub(super) fn after(&mut self, opened: &mut Opened, case: &Case, verdict: Verdict) -> Verdict {
        let Leaks::Since(ids) = self else {
            return match (&*self, verdict) {
                (Leaks::Hidden, Verdict::Passed) => {
                    Verdict::Lost("leaks cannot be looked for: that needs CAP_SYS_ADMIN".into())
                }
                (_, verdict) => verdict,
            };
        };
        let arch = opened.kernel.arch;
        let leaked = ids.leaked(arch, &mut |plan| ask(opened, plan)).unwrap_or_default();
        if verdict != Verdict::Passed || leaked.is_empty() {
            return verdict;
        }
        outlived(case, &leaked)
    }
}

/// The verdict on a case that left these objects behind.
pub(super) fn outlived(case: &Case, leaked: &[String]) -> Verdict {
    let got = leaked.join(", ");
    Verdict::Failed(Box::new(Failure {
        kind: FailureKind::Leaked,
        place: case.place.clone(),
        step: None,
        iteration: Vec::new(),
        text: format!("what the case made outlives its processes: {got}"),
        expected: "nothing to be left".into(),
        got,
        ret: None,
        also: Vec::new(),
    }))
}

fn ask(opened: &mut Opened, plan: Plan) -> Option<Observation> {
    let session = &mut opened.session;
    session.send(u64::MAX, plan).and_then(|()| session.receive()).ok().map(|(_, observation)| observation)
}

/// The last id of each kind that was there before a case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ids([u32; KINDS.len()]);

/// Asks an agent for something; `None` when it cannot answer, or may not.
type Ask<'a> = &'a mut dyn FnMut(Plan) -> Option<Observation>;

impl Ids {
    /// The ids that are there now.
    fn now(arch: Arch, ask: Ask<'_>) -> Option<Ids> {
        let mut ids = Ids::default();
        for (nth, id) in ids.0.iter_mut().enumerate() {
            let observation = ask(walk(arch, nth)?)?;
            let answers = next_ids(arch, &observation)?;
            *id = answers.iter().rev().find(|(ret, _)| *ret == 0).map_or(0, |(_, id)| *id);
        }
        Some(ids)
    }

    /// What has come since and does not go, in words; it is then taken for known.
    fn leaked(&mut self, arch: Arch, ask: Ask<'_>) -> Option<Vec<String>> {
        let mut leaked = Vec::new();
        for (nth, (kind, _)) in KINDS.iter().enumerate() {
            loop {
                let observation = ask(beyond(arch, nth, self.0[nth])?)?;
                let Some((0, id)) = next_ids(arch, &observation)?.pop() else { break };
                leaked.push(format!("{kind} {id}"));
                self.0[nth] = id;
            }
        }
        Some(leaked)
    }
}

/// Walks all ids of a kind: ends at the ENOENT after the last.
fn walk(arch: Arch, kind: usize) -> Option<Plan> {
    let call = next_id(arch, kind, Value::Slot(0, 0), Ret::Success, None)?;
    let first = next_id(arch, kind, Value::Number(0), Ret::Success, None)?;
    let again = Step { index: 2, op: Op::Call(Box::new(call)) };
    Some(plan(vec![
        Step { index: 0, op: Op::Call(Box::new(first)) },
        Step { index: 1, op: Op::Repeat { times: Value::Number(MOST), slot: None, steps: vec![again] } },
    ]))
}

/// Waits until there is no id beyond this one.
fn beyond(arch: Arch, kind: usize, last: u32) -> Option<Plan> {
    let start = Value::Number(last.into());
    let call = next_id(arch, kind, start, Ret::Errno(vec![ENOENT]), Some(PATIENCE_MS))?;
    Some(plan(vec![Step { index: 0, op: Op::Call(Box::new(call)) }]))
}

fn plan(steps: Vec<Step>) -> Plan {
    Plan { slots: 1, timeout_ms: 4 * PATIENCE_MS, steps }
}

fn next_id(arch: Arch, kind: usize, start: Value, ret: Ret, eventually_ms: Option<u64>) -> Option<Call> {
    let command = kconform_abi::bpf::command(KINDS[kind].1)?;
    let field = |name| command.field(name).map(|field| field.offset);
    let (start_id, next_id) = (field("start_id")?, field("next_id")?);
    let overlay =
        kconform_plan::Overlay { offset: start_id, piece: Piece::Value { value: start, width: 4, shift: 0 } };
    Some(Call {
        function: Function::Syscall(arch.syscall("bpf")?),
        args: vec![
            Value::Number(command.number.into()),
            Value::Address(0),
            Value::Number(command.size.into()),
        ],
        buffers: vec![Buffer { pieces: vec![Piece::Zero(command.size)], overlays: vec![overlay] }],
        outputs: vec![Output { buffer: 0, region: Region::Range { offset: next_id, length: 4 } }],
        saves: vec![Save { slot: 0, from: Source::Output(0) }],
        expect: Expect {
            ret,
            outputs: Vec::new(),
            signal: None,
            big_endian: arch.endian() == kconform_abi::Endian::Big,
        },
        last: false,
        eventually_ms,
        gives_fd: false,
    })
}

/// What each call returned, and the id that it gave; `None` when one says anything but that there is an id, or none.
fn next_ids(arch: Arch, observation: &Observation) -> Option<Vec<(i64, u32)>> {
    let mut answers = Vec::new();
    for record in &observation.records {
        if let RecordKind::Done { ret, outputs, .. } = &record.kind {
            if *ret != 0 && *ret != -i64::from(ENOENT) {
                return None;
            }
            answers.push((*ret, number(arch, outputs.first()?)));
        }
    }
    Some(answers)
}

fn number(arch: Arch, bytes: &Bytes) -> u32 {
    let full = bytes.full();
    let four = full.first_chunk().copied().unwrap_or_default();
    match arch.endian() {
        kconform_abi::Endian::Big => u32::from_be_bytes(four),
        kconform_abi::Endian::Little => u32::from_le_bytes(four),
    }
}
