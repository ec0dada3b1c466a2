//! What the steps of cases ask for, and what must come of it.

use std::collections::{BTreeMap, BTreeSet};

use kconform_abi::bpf::ElementCommand;

use crate::case::{CallStep, Outcome, RetWant};

/// The ways in which a call may end, as a step states them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ends {
    /// It succeeds.
    pub(super) success: bool,
    /// It fails with these.
    pub(super) errnos: BTreeSet<i32>,
}

impl Ends {
    /// Of a step and its exceptions.
    pub(super) fn of(step: &CallStep) -> Ends {
        let mut ends = Ends::default();
        std::iter::once(&step.outcome)
            .chain(step.except.iter().map(|except| &except.outcome))
            .for_each(|outcome| ends.note(outcome));
        ends
    }

    fn note(&mut self, outcome: &Outcome) {
        match &outcome.ret {
            _ if outcome.signal.is_some() => {}
            RetWant::Success | RetWant::Exactly(_) | RetWant::Range { .. } => self.success = true,
            RetWant::Errno(one) if one.len() == 1 => self.errnos.extend(one.iter().map(|errno| errno.number)),
            // What may come of a call is not what must.
            RetWant::Errno(_) | RetWant::Either { .. } => {}
        }
    }

    pub(super) fn add(&mut self, other: &Ends) {
        self.success |= other.success;
        self.errnos.extend(&other.errnos);
    }

    /// Whether it may fail with that errno.
    pub(super) fn fails_with(&self, errno: &str) -> bool {
        kconform_abi::errno::number(errno).is_some_and(|number| self.errnos.contains(&number))
    }
}

/// What is to be known of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum FieldFact {
    /// Not 0 in a call that succeeds.
    Set,
    /// A value is refused.
    Refused,
    /// A pointer that cannot be used is refused.
    BadPointer,
    /// A closed fd is refused.
    Closed,
    /// An fd of another kind is refused.
    WrongKind,
    /// What the kernel wrote is looked at.
    Read,
}

/// All that was seen.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// By command.
    pub(super) commands: BTreeMap<&'static str, Ends>,
    /// By map type.
    pub(super) elements: BTreeMap<(&'static str, ElementCommand), Ends>,
    /// Loads by program type.
    pub(super) programs: BTreeMap<&'static str, Ends>,
    /// Link types that were made.
    pub(super) links: BTreeSet<&'static str>,
    /// By command and field.
    pub(super) fields: BTreeSet<(&'static str, &'static str, FieldFact)>,
    /// Values of fields in calls that succeed, and in calls that fail.
    pub(super) values: BTreeMap<(&'static str, &'static str), Values>,
}

/// Values of a field, as text that is the same for the same value.
#[derive(Debug, Default)]
pub(super) struct Values {
    pub(super) taken: BTreeSet<String>,
    pub(super) refused: BTreeSet<String>,
}

impl Seen {
    /// Whether a fact was seen.
    pub(super) fn has(&self, command: &'static str, field: &'static str, fact: FieldFact) -> bool {
        match fact {
            FieldFact::Refused if !self.fields.contains(&(command, field, fact)) => {
                let values = self.values.get(&(command, field));
                values.is_some_and(|values| values.refused.difference(&values.taken).next().is_some())
            }
            _ => self.fields.contains(&(command, field, fact)),
        }
    }
}
