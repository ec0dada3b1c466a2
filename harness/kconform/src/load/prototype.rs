//! Arguments against what the system call takes: how many at most, and pointers against numbers.
//!
//! Too few are no mistake: those left out are 0.
//! A call is wrong only if it is wrong on every architecture that has it. `syscall: [name, …]` is not looked at.

use kconform_abi::{Arch, Param, ParamKind, Prototype, prototype};

use crate::case::{Address, Arg, Expr, Term};
use crate::place::{Placed, Span};
use crate::yaml::tree::{Node, NodeRef};

use super::case_reader::CaseReader;

/// What is wrong with a call.
struct Wrong {
    span: Span,
    text: String,
    help: String,
}

impl CaseReader<'_> {
    /// Notes what is wrong with a call's arguments on every architecture; `read` holds those that could be read.
    pub(crate) fn keeps_to_prototype(&mut self, call: &str, nodes: &[NodeRef], read: &[Option<Placed<Arg>>]) {
        self.wrong_everywhere(call, |known| wrong(known, nodes, read));
    }

    /// The same for arguments that are written by name.
    pub(crate) fn named_keep_to_prototype(&mut self, call: &str, read: &[(&'static str, &Node, &Arg)]) {
        let of = |known: Prototype, name| known.params.iter().find(|param| param.name == name);
        self.wrong_everywhere(call, |known| {
            misfits(known, read.iter().filter_map(|&(name, node, arg)| Some((of(known, name)?, node, arg))))
        });
    }

    fn wrong_everywhere(&mut self, call: &str, wrong: impl Fn(Prototype) -> Vec<Wrong>) {
        let mut all: Vec<Wrong> = Vec::new();
        for known in Arch::ALL.iter().filter_map(|&arch| prototype(arch, call)) {
            let found = wrong(known);
            if found.is_empty() {
                return;
            }
            let everywhere = |one: &Wrong| found.iter().any(|other| other.span == one.span);
            if all.is_empty() {
                all = found;
            } else if all.iter().any(everywhere) {
                all.retain(everywhere);
            }
        }
        for Wrong { span, text, help } in all {
            self.wrong_help(span, text, help);
        }
    }
}

fn wrong(known: Prototype, nodes: &[NodeRef], read: &[Option<Placed<Arg>>]) -> Vec<Wrong> {
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
        return vec![Wrong { span, text, help }];
    }
    let written = known.params.iter().zip(nodes).zip(read);
    misfits(known, written.filter_map(|((param, node), arg)| Some((param, &**node, &arg.as_ref()?.value))))
}

/// Arguments that their parameters cannot be.
fn misfits<'a>(
    known: Prototype,
    written: impl Iterator<Item = (&'static Param, &'a Node, &'a Arg)>,
) -> Vec<Wrong> {
    let mut all = Vec::new();
    for (param, node, arg) in written {
        let Some(found) = misfit(param, arg) else { continue };
        let text = format!("{found} where {} of {known} belongs", belongs(param));
        let no_directory =
            param.kind == ParamKind::Fd && param.name.ends_with("dirfd") && matches!(arg, Arg::Buffer(_));
        let help = if no_directory {
            "a path is looked up from a directory: AT_FDCWD is the working directory".to_owned()
        } else if param.kind.is_pointer() {
            "a pointer is a buffer, null, unmapped, a saved value or a number".to_owned()
        } else {
            format!("syscall: [{}, …] passes whatever is written", known.name)
        };
        all.push(Wrong { span: node.span, text, help });
        // Where the directory was forgotten the others are one place too early.
        if no_directory {
            break;
        }
    }
    all
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
    expr.terms.iter().any(constant)
        && expr.terms.iter().all(|t| matches!(t, Term::Number(_) | Term::Constant(_)))
}
