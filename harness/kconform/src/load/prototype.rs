//! Arguments against what the system call takes: how many at most, and pointers against numbers.
//!
//! Too few are no mistake: those left out are 0.
//! A call is wrong only if it is wrong on every architecture that has it. `syscall: [name, …]` is not looked at.

use kconform_abi::{Arch, Param, ParamKind, Prototype, prototype};

use crate::case::{Address, Arg, Expr, Term};
use crate::place::Placed;

use super::reader::Reader;
use super::tree::{Entry, NodeRef, Span};

/// What is wrong with a call.
struct Wrong {
    span: Span,
    text: String,
    help: String,
}

impl Reader {
    /// Notes the first thing that is wrong with a call's arguments; `read` holds those that could be read.
    pub(crate) fn keeps_to_prototype(
        &mut self,
        entry: &Entry,
        nodes: &[NodeRef],
        read: &[Option<Placed<Arg>>],
    ) {
        let mut first = None;
        for known in Arch::ALL.iter().filter_map(|&arch| prototype(arch, &entry.key)) {
            match wrong(known, nodes, read) {
                None => return,
                found => first = first.or(found),
            }
        }
        if let Some(Wrong { span, text, help }) = first {
            self.wrong_help(span, text, help);
        }
    }
}

fn wrong(known: Prototype, nodes: &[NodeRef], read: &[Option<Placed<Arg>>]) -> Option<Wrong> {
    let most = known.params.len();
    // More than six is told of every call.
    if nodes.len() <= 6
        && let (Some(first), Some(last)) = (nodes.get(most), nodes.last())
    {
        let span = Span { start: first.span.start, end: last.span.end.max(first.span.end) };
        let many = match most {
            0 => "no argument".to_owned(),
            1 => "1 argument".to_owned(),
            _ => format!("{most} arguments"),
        };
        let text = format!("{known} takes {many}, not {}", nodes.len());
        let help = format!("syscall: [{}, …] passes whatever is written", known.name);
        return Some(Wrong { span, text, help });
    }
    known.params.iter().zip(nodes).zip(read).find_map(|((param, node), arg)| {
        let found = misfit(param, &arg.as_ref()?.value)?;
        let text = format!("{found} where {} of {known} belongs", belongs(param));
        let help = match (param.kind, &arg.as_ref()?.value) {
            (ParamKind::Fd, Arg::Buffer(_)) if param.name.ends_with("dirfd") => {
                "a path is looked up from a directory: AT_FDCWD is the working directory".to_owned()
            }
            (kind, _) if kind.is_pointer() => {
                "a pointer is a buffer, null, unmapped, a saved value or a number".to_owned()
            }
            _ => format!("syscall: [{}, …] passes whatever is written", known.name),
        };
        Some(Wrong { span: node.span, text, help })
    })
}

/// What an argument is, where its parameter is certainly something else.
fn misfit(param: &Param, arg: &Arg) -> Option<String> {
    match (param.kind, arg) {
        (ParamKind::Number | ParamKind::Fd, Arg::Buffer(_)) => Some("a pointer to a buffer".to_owned()),
        (ParamKind::Number | ParamKind::Fd, Arg::Address(address)) if *address != Address::Null => {
            Some("an address".to_owned())
        }
        (kind, Arg::Expr(expr)) if kind.is_pointer() && is_flags(expr) => {
            Some(format!("the number {}", expr.text))
        }
        _ => None,
    }
}

fn belongs(param: &Param) -> String {
    let article = if param.kind.is_pointer() { "the pointer" } else { "the number" };
    match param.kind {
        ParamKind::Fd => format!("the fd {}", param.name),
        _ => format!("{article} {}", param.name),
    }
}

/// Constants that no one passes as an address. Numbers may be addresses, and so may limits (`ULONG_MAX`, `-1`).
fn is_flags(expr: &Expr) -> bool {
    let address = |name: &str| {
        name.ends_with("_MAX")
            || name.ends_with("_MIN")
            || ["NULL", "MAP_FAILED", "PAGE_SIZE"].contains(&name)
            || name.starts_with("SIG_")
    };
    let constant = |term: &Term| matches!(term, Term::Constant(name) if !address(name));
    expr.terms.iter().any(constant) && expr.terms.iter().all(|t| !matches!(t, Term::Saved(_) | Term::Btf(_)))
}
