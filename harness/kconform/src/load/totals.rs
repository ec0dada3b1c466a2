//! What all calls of a case come to together, against [`crate::limits`].

use std::collections::HashMap;

use kconform_abi::bpf::{COMMON_ATTR, Command};

use crate::arguments;
use crate::case::{
    Arg, Attr, AttrSlot, Call, CallStep, CommonAttr, Expr, Outcome, Pattern, Piece, Step, StepKind, Want,
    WantKind,
};
use crate::limits::{AT_ONCE, CASE, CONTENTS, PARTS, REPORT, amount};
use crate::place::{Place, Span};

use super::case_reader::CaseReader;
use super::sizes::{Measure, Size, most};

/// The kernel refuses what is longer than a page; memory follows an explicit size no further than this.
const LONGEST_ATTR: u64 = 1 << 20;
/// A saved return value or field.
const NUMBER: u64 = 8;

/// A sum, and where it becomes too large.
#[derive(Default)]
struct Total {
    sum: u64,
    crossed: Option<Place>,
}

impl Total {
    fn add(&mut self, more: u64, most: u64, place: &Place) {
        self.sum = self.sum.saturating_add(more);
        if self.sum > most && self.crossed.is_none() {
            self.crossed = Some(place.clone());
        }
    }
}

/// The sums of a case.
#[derive(Default)]
struct Totals {
    memory: Total,
    contents: Total,
    report: Total,
    parts: Total,
    threads: Total,
    /// The most bytes of what was saved under each name.
    saved: HashMap<String, u64>,
}

impl CaseReader<'_> {
    /// Notes what the steps of a case ask too much of. Nothing else is wrong with them.
    pub(crate) fn in_limits(&mut self, steps: &[Step]) {
        let mut totals = Totals::default();
        totals.steps(self, steps, 1);
        totals.tell(self);
    }
}

impl Totals {
    fn steps(&mut self, reader: &mut CaseReader<'_>, steps: &[Step], times: u64) -> u64 {
        steps.iter().map(|step| self.step(reader, step, times)).max().unwrap_or(0)
    }

    /// Adds a step that runs so many times; gives the threads and processes that it adds to those that are there.
    fn step(&mut self, reader: &mut CaseReader<'_>, step: &Step, times: u64) -> u64 {
        let times = match &step.kind {
            StepKind::Call(call) => {
                self.call(reader, call, times);
                return 0;
            }
            StepKind::Repeat { times: more, .. } => times.saturating_mul(most(more).max(1)),
            _ => times,
        };
        let blocks = step.kind.blocks();
        match &step.kind {
            StepKind::Parallel(_) => {
                // Each thread has what was saved before.
                let saved: u64 = self.saved.values().fold(0, |sum, &bytes| sum.saturating_add(bytes));
                self.memory.add(saved.saturating_mul(blocks.len() as u64), CASE, &step.place);
                let inside = blocks.iter().map(|steps| 1 + self.steps(reader, steps, times)).sum();
                let threads = Total { sum: inside, crossed: Some(step.place.clone()) };
                if inside > AT_ONCE && self.threads.crossed.is_none() {
                    self.threads = threads;
                }
                inside
            }
            kind => {
                let inside = blocks.iter().map(|steps| self.steps(reader, steps, times)).max().unwrap_or(0);
                inside + u64::from(!matches!(kind, StepKind::Repeat { .. } | StepKind::Sysctl { .. }))
            }
        }
    }

    fn call(&mut self, reader: &mut CaseReader<'_>, step: &CallStep, times: u64) {
        let saved = std::mem::take(&mut self.saved);
        let mut measure = Measure::with(&saved);
        let buffers = buffers(&mut measure, &step.call);
        let wants: Vec<Size> = outcomes(step).map(|outcome| wants(&mut measure, outcome)).collect();
        let Measure { pointed, named, wrong, .. } = measure;
        let fits = wrong.is_empty();
        for too_large in wrong {
            let span = span_of(&too_large.place);
            reader.wrong_in_case(span, too_large.text, Some(too_large.help));
        }
        self.saved = saved;
        let size_of = |name: &str| {
            let named = named.iter().find(|(known, _)| known == name).map(|(_, bytes)| *bytes);
            named.or_else(|| buffers.iter().find(|buffer| buffer.is(name)).map(|buffer| buffer.size.bytes))
        };
        for save in &step.saves {
            let bytes = save.output.as_ref().and_then(|output| size_of(&output.value)).unwrap_or(NUMBER);
            let most = self.saved.entry(save.name.clone()).or_default();
            *most = bytes.max(*most);
            if fits && bytes > NUMBER {
                self.memory.add(bytes, CASE, &save.place);
            }
        }
        if !fits {
            return;
        }
        let asked: Vec<&str> = outcomes(step)
            .flat_map(|outcome| &outcome.expect)
            .map(|(name, _)| &*name.value)
            .chain(step.saves.iter().filter_map(|save| Some(&*save.output.as_ref()?.value)))
            .collect();
        for buffer in &buffers {
            self.memory.add(buffer.size.bytes, CASE, &buffer.place);
            self.contents.add(buffer.size.contents, CONTENTS, &buffer.place);
            self.parts.add(buffer.size.parts, PARTS, &buffer.place);
            let reported = buffer.out || asked.iter().any(|name| buffer.is(name));
            // What a repeated call writes may be little; what was saved is told each time.
            let back = buffer.size.saved.saturating_mul(times);
            let back = back.saturating_add(if reported { buffer.size.bytes } else { 0 });
            self.report.add(back, REPORT, &buffer.place);
        }
        for pointed in pointed {
            self.memory.add(pointed.bytes, CASE, &step.key);
            self.contents.add(pointed.contents, CONTENTS, &step.key);
            self.parts.add(pointed.parts, PARTS, &step.key);
            self.report.add(pointed.saved.saturating_mul(times), REPORT, &step.key);
        }
        let named = named.iter().fold(0_u64, |sum, (_, bytes)| sum.saturating_add(*bytes));
        self.report.add(named, REPORT, &step.key);
        // Of several outcomes one is expected.
        let contents = wants.iter().map(|want| want.contents).max().unwrap_or(0);
        self.contents.add(contents, CONTENTS, &step.key);
        self.parts.add(wants.iter().map(|want| want.parts).max().unwrap_or(0), PARTS, &step.key);
    }

    fn tell(self, reader: &mut CaseReader<'_>) {
        let all = [
            (
                self.memory,
                "the buffers of this case are",
                amount(CASE),
                "make them smaller, or make several cases of it",
            ),
            (
                self.contents,
                "what is written into the buffers of this case is",
                amount(CONTENTS),
                "zeros are {zero: N} or {out: N}, which count for nothing here",
            ),
            (
                self.report,
                "the outputs of this case, and saved buffers that it uses, are",
                amount(REPORT),
                "make them smaller, or make several cases of it",
            ),
        ];
        for (total, what, most, help) in all {
            if let Some(place) = &total.crossed {
                let text = format!("{what} {}; the most is {most}", amount(total.sum));
                reader.wrong_in_case(span_of(place), text, Some(help.to_owned()));
            }
        }
        if let Some(place) = &self.parts.crossed {
            let text = format!("the buffers of this case have {} parts; the most is {PARTS}", self.parts.sum);
            let help = "repeated bytes, or zeros, are one part; addresses and saved values are one each";
            reader.wrong_in_case(span_of(place), text, Some(help.to_owned()));
        }
        if let Some(place) = &self.threads.crossed {
            let text = format!("{} threads and processes at a time; the most is {AT_ONCE}", self.threads.sum);
            reader.wrong_in_case(span_of(place), text, None);
        }
    }
}

/// A buffer that an argument or a field points to.
struct Passed {
    /// `arg1`, or the name of a field.
    name: String,
    /// Other names of the same.
    also: Vec<&'static str>,
    size: Size,
    /// It is reported although nobody asks.
    out: bool,
    place: Place,
}

impl Passed {
    fn of(measure: &mut Measure<'_>, name: &str, piece: &Piece) -> Passed {
        let size = measure.piece(piece);
        Passed {
            name: name.to_owned(),
            also: Vec::new(),
            size,
            out: has_out(piece),
            place: piece.place.clone(),
        }
    }

    /// Whether an output of that name, which may be qualified, is this.
    fn is(&self, name: &str) -> bool {
        self.name == name.rsplit('.').next().unwrap_or(name) || self.also.contains(&name)
    }
}

fn buffers(measure: &mut Measure<'_>, call: &Call) -> Vec<Passed> {
    match call {
        Call::Syscall { name, args, names } => args
            .iter()
            .enumerate()
            .filter_map(|(nth, arg)| match &arg.value {
                Arg::Buffer(piece) => {
                    let also = arguments::also_called(name, names, nth);
                    let name = arguments::output_name(names, nth);
                    Some(Passed { also, ..Passed::of(measure, &name, piece) })
                }
                Arg::Expr(_) | Arg::Address(_) => None,
            })
            .collect(),
        Call::Peek { size, .. } => {
            let place = size.place.clone();
            vec![Passed {
                name: "data".to_owned(),
                also: Vec::new(),
                size: measure.zeros(size),
                out: true,
                place,
            }]
        }
        Call::Poke { data, .. } => vec![Passed::of(measure, "data", data)],
        Call::Bpf { command, known, attr, size, common } => {
            let mut all = attr_passed(measure, "arg1", &command.place, *known, (attr, size.as_ref()));
            if let Some(CommonAttr { attr, size }) = common.as_deref() {
                let attr = (attr, size.as_ref());
                all.extend(attr_passed(measure, "arg3", &command.place, Some(&COMMON_ATTR), attr));
            }
            all
        }
    }
}

/// What an attr of bpf(2) takes: itself, and the buffers that its fields point to.
fn attr_passed(
    measure: &mut Measure<'_>,
    whole: &str,
    command: &Place,
    known: Option<&'static Command>,
    (attr, size): (&Attr, Option<&Expr>),
) -> Vec<Passed> {
    let fields = match attr {
        Attr::Buffer(piece) => return vec![Passed::of(measure, whole, piece)],
        Attr::Address(_) | Attr::Pointer(_) => return Vec::new(),
        Attr::Fields(fields) => fields,
    };
    let mut all = Vec::new();
    let mut attr = Size::default();
    let usual = known.map_or(0, |command| u64::from(command.size));
    let mut end = size.map_or(0, most).min(LONGEST_ATTR).max(usual);
    for field in fields {
        let Arg::Buffer(piece) = &field.value.value else { continue };
        let name = match field.slot {
            AttrSlot::Field(slot) => slot.name,
            AttrSlot::Offset(_) => whole,
        };
        let passed = Passed::of(measure, name, piece);
        match field.slot {
            AttrSlot::Field(slot) if slot.kind == kconform_abi::bpf::FieldKind::Pointer => {
                all.push(passed);
            }
            AttrSlot::Field(_) => attr = attr.and(passed.size),
            AttrSlot::Offset(offset) => {
                end = end.max(passed.size.bytes.saturating_add(offset.into()));
                attr = attr.and(passed.size);
            }
        }
    }
    attr.bytes = end;
    let place = fields.first().map_or(command, |field| &field.key).clone();
    all.push(Passed { name: whole.to_owned(), also: Vec::new(), size: attr, out: false, place });
    all
}

fn outcomes(step: &CallStep) -> impl Iterator<Item = &Outcome> {
    std::iter::once(&step.outcome).chain(step.except.iter().map(|except| &except.outcome))
}

/// Memory that travels because it is expected.
fn wants(measure: &mut Measure<'_>, outcome: &Outcome) -> Size {
    let all = outcome.expect.iter().map(|(_, want)| expected(measure, want));
    all.fold(Size::default(), Size::and)
}

fn expected(measure: &mut Measure<'_>, want: &Want) -> Size {
    match &want.kind {
        WantKind::Exactly(piece)
        | WantKind::Contains(Pattern::Piece(piece))
        | WantKind::Prefix(Pattern::Piece(piece)) => measure.piece(piece),
        WantKind::Contains(Pattern::Text(text)) | WantKind::Prefix(Pattern::Text(text)) => measure.text(text),
        WantKind::Not(want) => expected(measure, want),
        WantKind::Any(wants) => {
            wants.iter().map(|want| expected(measure, want)).fold(Size::default(), Size::and)
        }
        WantKind::Number(_) | WantKind::Range { .. } => Size::default(),
    }
}

/// Whether an `out` is in it that no name covers.
fn has_out(piece: &Piece) -> bool {
    use crate::case::PieceKind as Kind;
    piece.name.is_none()
        && match &piece.kind {
            Kind::Out(_) => true,
            Kind::List(pieces) | Kind::PercpuEach(pieces) => pieces.iter().any(has_out),
            Kind::PercpuAll(piece) | Kind::Times { piece, .. } => has_out(piece),
            Kind::Struct { members, .. } => members.iter().any(|(_, piece)| has_out(piece)),
            Kind::Uapi { members, .. } => super::outputs::in_place(members).any(has_out),
            _ => false,
        }
}

fn span_of(place: &Place) -> Span {
    Span { start: place.start, end: place.end }
}
