//! What was seen, held against the tables.

use std::collections::BTreeSet;

use kconform_abi::bpf::{self, ElementCommand, Gives, Use, field_use, never_refused, never_set};
use kconform_abi::errno;
use serde::Serialize;

use super::fields::asked;
use super::seen::{FieldFact, Seen};

/// What the cases cover.
#[derive(Clone, Debug, Serialize)]
pub struct Coverage {
    /// How many cases there are.
    pub cases: usize,
    /// By subject.
    pub sections: Vec<Section>,
    /// Pairs of command and errno that cases expect and the table lacks: `BPF_MAP_CREATE ENOTTY`.
    pub unlisted: Vec<String>,
}

/// A subject.
#[derive(Clone, Debug, Serialize)]
pub struct Section {
    /// For programs: `errnos`.
    pub id: &'static str,
    /// For people.
    pub title: &'static str,
    /// By command or type.
    pub rows: Vec<Row>,
}

/// A command or a type.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// `BPF_MAP_CREATE`.
    pub name: String,
    /// What there is to know of it.
    pub facts: Vec<Fact>,
}

/// Something that a case should state.
#[derive(Clone, Debug, Serialize)]
pub struct Fact {
    /// `EINVAL`, `lookup`.
    pub name: String,
    /// Whether one does.
    pub state: State,
    /// What is to be known of it: the kernel's functions, the errnos of a refusal, why it cannot be had.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remark: Option<String>,
}

/// Whether a case states it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// A case does.
    There,
    /// None does.
    Missing,
    /// None can; the remark says why.
    Beyond,
}

impl State {
    fn of(there: bool) -> State {
        if there { State::There } else { State::Missing }
    }

    fn or_beyond(there: bool, beyond: Option<&str>) -> State {
        match State::of(there) {
            State::Missing if beyond.is_some() => State::Beyond,
            state => state,
        }
    }
}

impl Section {
    /// How many facts are of that state.
    pub fn count(&self, state: State) -> usize {
        self.rows.iter().map(|row| row.count(state)).sum()
    }

    /// Tenths of a percent of the facts that cases state, rounded down: all are stated only at 1000.
    pub fn permille(&self) -> usize {
        self.share(self.count(State::Missing) + self.count(State::Beyond))
    }

    /// The same without the facts that no case can state.
    pub fn permille_of_possible(&self) -> usize {
        self.share(self.count(State::Missing))
    }

    fn share(&self, rest: usize) -> usize {
        let there = self.count(State::There);
        (there * 1000).checked_div(there + rest).unwrap_or(1000)
    }
}

impl Row {
    /// How many facts are of that state.
    pub fn count(&self, state: State) -> usize {
        self.of(state).count()
    }

    /// The facts of that state.
    pub fn of(&self, state: State) -> impl Iterator<Item = &Fact> {
        self.facts.iter().filter(move |fact| fact.state == state)
    }
}

pub(super) fn report(seen: &Seen, cases: usize) -> Coverage {
    let sections = vec![
        section("commands", "Commands that succeed", commands(seen)),
        section("errnos", "Errnos of each command", errnos(seen)),
        section("elements", "Commands on each map type", elements(seen)),
        section("programs", "Program types that are loaded", programs(seen)),
        section("links", "Link types that are made", links(seen)),
        section("fields", "Fields of each command's attr", fields(seen)),
    ];
    Coverage { cases, sections, unlisted: unlisted(seen) }
}

fn section(id: &'static str, title: &'static str, rows: Vec<Row>) -> Section {
    Section { id, title, rows }
}

fn one(name: &str, fact: &str, state: State, remark: Option<String>) -> Row {
    Row { name: name.into(), facts: vec![Fact { name: fact.into(), state, remark }] }
}

fn commands(seen: &Seen) -> Vec<Row> {
    let there = |command| seen.commands.get(command).is_some_and(|ends| ends.success);
    bpf::returns().map(|row| one(row.command, "success", State::of(there(row.command)), None)).collect()
}

fn errnos(seen: &Seen) -> Vec<Row> {
    let row = |row: &bpf::Returns| {
        let ends = seen.commands.get(row.command);
        let fact = |pair: &bpf::Return| Fact {
            name: pair.errno.into(),
            state: State::or_beyond(ends.is_some_and(|ends| ends.fails_with(pair.errno)), pair.beyond),
            remark: Some(match pair.beyond {
                Some(why) => format!("{}: {why}", pair.from),
                None => pair.from.into(),
            }),
        };
        Row { name: row.command.into(), facts: row.errnos.iter().map(fact).collect() }
    };
    bpf::returns().map(row).collect()
}

/// Pairs that a case expects and the table does not know of.
fn unlisted(seen: &Seen) -> Vec<String> {
    let known: BTreeSet<(&str, i32)> = bpf::returns()
        .flat_map(|row| row.errnos.iter().filter_map(|pair| Some((row.command, errno::number(pair.errno)?))))
        .collect();
    let table: BTreeSet<&str> = bpf::returns().map(|row| row.command).collect();
    seen.commands
        .iter()
        .filter(|(command, _)| table.contains(*command))
        .flat_map(|(command, ends)| ends.errnos.iter().map(move |errno| (*command, *errno)))
        .filter(|pair| !known.contains(pair))
        .map(|(command, number)| format!("{command} {}", errno::name(number).unwrap_or("?")))
        .collect()
}

fn elements(seen: &Seen) -> Vec<Row> {
    let row = |map: &bpf::MapType| {
        let facts = ElementCommand::ALL.into_iter().zip(map.gives);
        let fact = |(command, gives): (ElementCommand, Gives)| {
            let ends = seen.elements.get(&(map.name, command)).cloned().unwrap_or_default();
            let (there, remark) = match gives {
                Gives::Nothing => return None,
                Gives::Success => (ends.success, None),
                Gives::Refusal(errnos) => {
                    (errnos.iter().any(|errno| ends.fails_with(errno)), Some(errnos.join(" or ")))
                }
            };
            Some(Fact { name: command.name().into(), state: State::of(there), remark })
        };
        Row { name: map.name.into(), facts: facts.filter_map(fact).collect() }
    };
    bpf::map_types().iter().map(row).collect()
}

fn programs(seen: &Seen) -> Vec<Row> {
    let row = |program: &bpf::ProgramType| {
        let ends = seen.programs.get(program.name).cloned().unwrap_or_default();
        let refused = program.without_context.filter(|errno| ends.fails_with(errno));
        let state = State::of(ends.success || refused.is_some());
        let remark = program.without_context.map(|errno| match ends.success {
            true => format!("loads; {errno} without its context"),
            false => format!("{errno} without its context"),
        });
        one(program.name, "loads", state, remark)
    };
    bpf::program_types().iter().map(row).collect()
}

fn links(seen: &Seen) -> Vec<Row> {
    let row = |link: &bpf::LinkType| one(link.name, "made", State::of(seen.links.contains(link.name)), None);
    bpf::link_types().iter().map(row).collect()
}

fn fields(seen: &Seen) -> Vec<Row> {
    let mut rows = Vec::new();
    for row in bpf::returns() {
        let Some(command) = bpf::command(row.command) else { continue };
        for field in command.fields {
            let Some(usage) = field_use(command, field) else { continue };
            let fact = |fact: FieldFact| {
                let beyond = match fact {
                    FieldFact::Set => never_set(command, field),
                    FieldFact::Refused => never_refused(command, field),
                    _ => None,
                };
                Fact {
                    name: word(usage, fact).into(),
                    state: State::or_beyond(seen.has(command.name, field.name, fact), beyond),
                    remark: beyond.map(str::to_owned),
                }
            };
            let facts = asked(usage, field).into_iter().map(fact).collect();
            rows.push(Row { name: format!("{} {}", command.name, field.name), facts });
        }
    }
    rows
}

fn word(usage: Use, fact: FieldFact) -> &'static str {
    match fact {
        FieldFact::Set => "set",
        FieldFact::Refused if usage == Use::Unused => "must be 0",
        FieldFact::Refused => "refused",
        FieldFact::BadPointer => "bad pointer",
        FieldFact::Closed => "closed",
        FieldFact::WrongKind => "wrong kind",
        FieldFact::Read => "read",
    }
}
