//! The fields of bpf(2)'s attrs that a case uses, and structures of them.

use std::collections::{BTreeMap, BTreeSet};

use kconform_abi::bpf::{CountOf, Field};

use crate::case::{Arg, Attr, AttrField, AttrSlot, Call, CallStep, Step, StepKind};

use super::names::identifier;

/// The fields of a command that a case uses.
#[derive(Default)]
pub(super) struct Fields {
    /// Sorted by offset and size, then by name.
    pub(super) fields: BTreeSet<(u32, u32, &'static str)>,
    size: u32,
    pub(super) used: bool,
}

impl Fields {
    /// Fields of which one is in another have no plain structure.
    pub(super) fn is_plain(&self) -> bool {
        let all: Vec<_> = self.fields.iter().collect();
        all.windows(2).all(|pair| {
            pair[0].0 + pair[0].1 <= pair[1].0 || (pair[0].0, pair[0].1) == (pair[1].0, pair[1].1)
        })
    }
}

/// The fields that steps use, by command: what they write and what they look at.
pub(super) fn used(steps: &[Step], all: &mut BTreeMap<&'static str, Fields>) {
    for step in steps {
        if let StepKind::Call(call) = &step.kind
            && let Call::Bpf { known: Some(known), attr: Attr::Fields(fields), .. } = &call.call
        {
            let row = all.entry(known.name).or_default();
            row.size = known.size;
            let written = fields.iter().filter_map(|field| match field.slot {
                AttrSlot::Field(field) => Some(field),
                AttrSlot::Offset(_) => None,
            });
            let counts =
                known.fields.iter().filter(|field| field.count_of.is_some() && is_counted(field, fields));
            let seen = names(call).into_iter().filter_map(|name| known.field(&name));
            for field in written.chain(counts).chain(seen) {
                row.fields.insert((field.offset, field.size, field.name));
            }
        }
        step.kind.blocks().iter().for_each(|steps| used(steps, all));
    }
}

/// The outputs that a step speaks of.
pub(super) fn names(step: &CallStep) -> BTreeSet<String> {
    let outcomes = std::iter::once(&step.outcome).chain(step.except.iter().map(|except| &except.outcome));
    let expected = outcomes.flat_map(|outcome| &outcome.expect).map(|(name, _)| name.value.clone());
    let saved = step.saves.iter().filter_map(|save| save.output.as_ref().map(|output| output.value.clone()));
    expected.chain(saved).collect()
}

pub(super) fn field_of(field: &AttrField) -> Option<&'static Field> {
    match field.slot {
        AttrSlot::Field(field) => Some(field),
        AttrSlot::Offset(_) => None,
    }
}

/// Whether a count is left out and goes with a buffer that is written in place.
fn is_counted(count: &Field, fields: &[AttrField]) -> bool {
    let Some(CountOf { buffers, .. }) = &count.count_of else { return false };
    buffers.iter().any(|name| {
        let buffer = fields.iter().find(|field| field_of(field).is_some_and(|known| known.name == *name));
        buffer.is_some_and(|field| matches!(field.value.value, Arg::Buffer(_)))
    })
}

/// A field's name in the structure.
pub(super) fn member(name: &str) -> String {
    identifier(&name.replace('.', "_"))
}

/// The structures of all commands, as C.
pub(super) fn structures(all: &BTreeMap<&'static str, Fields>) -> String {
    let mut text = String::new();
    for (command, fields) in all.iter().filter(|(_, fields)| fields.used) {
        text.push_str(&format!("struct {} {{\n", structure_name(command)));
        let (mut at, mut pads) = (0, 0);
        let mut pad = |text: &mut String, to: u32, at: u32| {
            if to > at {
                text.push_str(&format!("\t__u8 pad{pads}[{}];\n", to - at));
                pads += 1;
            }
        };
        let rows: Vec<_> = fields.fields.iter().copied().collect();
        let mut rest = rows.as_slice();
        while let Some(&(offset, size, _)) = rest.first() {
            pad(&mut text, offset, at);
            let count = rest.iter().take_while(|row| (row.0, row.1) == (offset, size)).count();
            let declare = |name: &str| match size {
                1 | 2 | 4 | 8 => format!("__u{} {};", 8 * size, member(name)),
                _ => format!("char {}[{size}];", member(name)),
            };
            let (same, others) = rest.split_at(count);
            match same {
                [one] => text.push_str(&format!("\t{}\n", declare(one.2))),
                several => {
                    let all: Vec<String> = several.iter().map(|row| declare(row.2)).collect();
                    text.push_str(&format!("\tunion {{ {} }};\n", all.join(" ")));
                }
            }
            at = offset + size;
            rest = others;
        }
        pad(&mut text, fields.size, at);
        text.push_str("} __attribute__((packed));\n\n");
    }
    text
}

pub(super) fn structure_name(command: &str) -> String {
    format!("{}_attr", command.to_ascii_lowercase())
}
