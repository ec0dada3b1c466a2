//! What is seen of the fields of an attr.

use kconform_abi::bpf::{Field, FieldKind, Use, field_use};

use super::seen::{Ends, FieldFact, Seen};
use super::written::{Thing, Written, number, value};
use crate::case::{Address, Arg, CallStep, Expr};

/// What is asked of a field.
pub(super) fn asked(usage: Use, field: &Field) -> Vec<FieldFact> {
    match (usage, field.kind) {
        (Use::Unused, _) => vec![FieldFact::Refused],
        (Use::Output, _) => vec![FieldFact::Read],
        (Use::Input, FieldKind::Int | FieldKind::Chars) => vec![FieldFact::Set, FieldFact::Refused],
        (Use::Input, FieldKind::Pointer) => vec![FieldFact::Set, FieldFact::BadPointer],
        (Use::Input, FieldKind::Fd) if kind(field.name).is_some() => {
            vec![FieldFact::Set, FieldFact::Closed, FieldFact::WrongKind]
        }
        (Use::Input, FieldKind::Fd) => vec![FieldFact::Set, FieldFact::Closed],
    }
}

/// Notes the fields of one call.
pub(super) fn note(
    seen: &mut Seen,
    attr: &Written<'_>,
    step: &CallStep,
    ends: &Ends,
    thing: impl Fn(&Expr) -> Thing,
) {
    let command = attr.command;
    for (field, arg) in attr.each() {
        let Some(usage) = field_use(command, field) else { continue };
        let mut fact = |fact| {
            seen.fields.insert((command.name, field.name, fact));
        };
        if ends.success && not_zero(arg) {
            fact(FieldFact::Set);
        }
        match (usage, field.kind, arg) {
            (Use::Unused, _, _) if not_zero(arg) && !ends.errnos.is_empty() => fact(FieldFact::Refused),
            (_, FieldKind::Pointer, Arg::Address(_)) if !ends.errnos.is_empty() => {
                fact(FieldFact::BadPointer)
            }
            (_, FieldKind::Fd, Arg::Expr(expr)) => {
                let thing = thing(expr);
                let closed =
                    ends.fails_with("EBADF") || ends.fails_with("EBADFD") || ends.fails_with("EINVAL");
                if thing == Thing::Closed && closed {
                    fact(FieldFact::Closed);
                }
                if wrong_kind(field.name, thing) && !ends.errnos.is_empty() {
                    fact(FieldFact::WrongKind);
                }
            }
            _ => {}
        }
        if let Some(value) = value(arg).filter(|_| not_zero(arg)) {
            let values = seen.values.entry((command.name, field.name)).or_default();
            if ends.success {
                values.taken.insert(value.clone());
            }
            if !ends.errnos.is_empty() {
                values.refused.insert(value);
            }
        }
    }
    counted(seen, attr, ends);
    read(seen, attr, step);
}

/// Counts that are left out are computed of their buffers.
fn counted(seen: &mut Seen, attr: &Written<'_>, ends: &Ends) {
    for field in attr.command.fields.iter().filter(|_| ends.success) {
        let Some(of) = field.count_of else { continue };
        let buffer = |(other, arg): (&'static Field, &Arg)| {
            of.buffers.contains(&other.name) && matches!(arg, Arg::Buffer(_))
        };
        if attr.each().all(|(other, _)| other.name != field.name) && attr.each().any(buffer) {
            seen.fields.insert((attr.command.name, field.name, FieldFact::Set));
        }
    }
}

/// Outputs that are expected or saved.
fn read(seen: &mut Seen, attr: &Written<'_>, step: &CallStep) {
    let outcomes = std::iter::once(&step.outcome).chain(step.except.iter().map(|except| &except.outcome));
    let expected = outcomes.flat_map(|outcome| &outcome.expect).map(|(name, _)| &name.value);
    let saved = step.saves.iter().filter_map(|save| save.output.as_ref()).map(|name| &name.value);
    for name in expected.chain(saved) {
        if let Some(field) = attr.command.field(name) {
            seen.fields.insert((attr.command.name, field.name, FieldFact::Read));
        }
    }
}

fn not_zero(arg: &Arg) -> bool {
    match arg {
        Arg::Expr(expr) => number(expr) != Some(0),
        Arg::Buffer(_) => true,
        Arg::Address(address) => *address != Address::Null,
    }
}

/// The kind of object that a field's fd must be of, where it is always the same.
fn kind(field: &str) -> Option<fn(Thing) -> bool> {
    let name = field.rsplit('.').next().unwrap_or(field);
    Some(match name {
        "map_fd" | "inner_map_fd" | "new_map_fd" | "old_map_fd" => |thing| matches!(thing, Thing::Map(_)),
        "prog_fd" | "new_prog_fd" | "old_prog_fd" | "attach_bpf_fd" | "replace_bpf_fd" => {
            |thing| matches!(thing, Thing::Program(_))
        }
        "link_fd" => |thing| thing == Thing::Link,
        "btf_fd" | "prog_btf_fd" => |thing| thing == Thing::Btf,
        "map_token_fd" | "prog_token_fd" | "btf_token_fd" => |_| false,
        _ => return None,
    })
}

fn wrong_kind(field: &str, thing: Thing) -> bool {
    thing != Thing::Closed && kind(field).is_some_and(|right| !right(thing))
}
