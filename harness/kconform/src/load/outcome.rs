//! What a call must do: `errno`, `ret`, `signal`, `expect`, and `except` for where it does something else.

use kconform_abi::Arch;

use crate::case::{Errno, Except, Expr, Outcome, Pattern, RetWant, Save, Want, WantKind};
use crate::place::{Place, Placed, Span};
use crate::yaml::reader::{find, mended};
use crate::yaml::tree::{Entry, Kind, Node, NodeRef};

use super::case_reader::CaseReader;
use super::expr::{Fit, literal, number};
use super::outputs::{Output, Outputs, size};
use super::piece::PIECES;

/// The largest errno that a call can return (MAX_ERRNO in include/linux/err.h).
const MAX_ERRNO: i128 = 4095;
pub(super) const EXCEPT_KEYS: &[&str] = &["when", "errno", "ret", "expect", "signal", "because"];
pub(super) const WANTS: &[&str] = &["contains", "prefix", "not", "any", "min", "max"];

impl CaseReader<'_> {
    /// The outcome that a step, or an exception of one, asks for.
    pub(crate) fn outcome(&mut self, entries: &[Entry], outputs: &Outputs) -> Option<Outcome> {
        let (errno, ret) = (find(entries, "errno"), find(entries, "ret"));
        let signal = find(entries, "signal");
        let none = |errno: &Entry| self.one_or_many(&errno.value).iter().any(|e| e.text() == Some("none"));
        if let (Some(one), Some(other)) = (errno.filter(|errno| !none(errno)), ret) {
            self.both(one, other, "a call that fails returns -1; with `errno: [none, …]` it may succeed");
        }
        if let (Some(signal), Some(other)) = (signal, errno.or(ret).or(find(entries, "expect"))) {
            self.both(signal, other, "a call that kills the process does not return");
        }
        let success = ret.map_or(Some(RetWant::Success), |ret| self.ret(&ret.value));
        let want = match errno {
            Some(errno) => self.errnos(&errno.value, success),
            None => success,
        };
        let number = signal.map(|entry| self.signal(&entry.value));
        let expect = match find(entries, "expect") {
            Some(entry) => self.expect(&entry.value, outputs),
            None => Some(Vec::new()),
        };
        Some(Outcome {
            ret: want?,
            expect: expect?,
            signal: match number {
                Some(number) => Some(number?),
                None => None,
            },
            place: errno.or(ret).or(signal).map(|entry| self.entry_place(entry)),
        })
    }

    fn both(&mut self, one: &Entry, other: &Entry, why: &str) {
        let (first, second) =
            if one.key_span.start < other.key_span.start { (one, other) } else { (other, one) };
        self.wrong_help(second.key_span, format!("{} beside {}", second.key, first.key), why);
    }

    /// From the key to the end of its value; the value alone where a parameter brought it from elsewhere.
    fn entry_place(&self, entry: &Entry) -> Place {
        let start = if self.written_beside(entry) { entry.key_span.start } else { entry.value.span.start };
        self.place(Span { start, end: entry.value.span.end })
    }

    /// The value stands behind its key: neither a parameter nor an alias brought it from elsewhere.
    pub(crate) fn written_beside(&self, entry: &Entry) -> bool {
        let between = self.file().text.get(entry.key_span.end..entry.value.span.start);
        between.is_some_and(|t| t.trim_matches(|c: char| c == ':' || c.is_whitespace()).is_empty())
    }

    /// One errno or a list of them; `none` among them stands for success, which is then what `success` says.
    fn errnos(&mut self, node: &NodeRef, success: Option<RetWant>) -> Option<RetWant> {
        let items = self.one_or_many(node);
        if items.is_empty() {
            let help = "write errno: ENOENT, errno: [ENOENT, EPERM], or errno: none for success";
            self.wrong_help(node.span, "an empty list of errnos", help);
            return None;
        }
        let (none, named): (Vec<_>, Vec<_>) = items.iter().partition(|item| item.text() == Some("none"));
        let errnos: Vec<_> = named.iter().map(|item| self.errno(item)).collect();
        let errnos: Vec<Errno> = errnos.into_iter().collect::<Option<_>>()?;
        Some(match (none.is_empty(), errnos.is_empty()) {
            (true, _) => RetWant::Errno(errnos),
            (false, true) => success?,
            (false, false) => RetWant::Either { success: Box::new(success?), errnos },
        })
    }

    /// An errno by name or number.
    pub(crate) fn errno(&mut self, node: &Node) -> Option<Errno> {
        let text = self.word(node, "an errno")?;
        if let Some(number) = number(text).and_then(Result::ok) {
            if (1..=MAX_ERRNO).contains(&number) {
                return Some(Errno { number: number as i32, name: None });
            }
            self.wrong_help(node.span, format!("{text} is not an errno"), "errnos go from 1 to 4095");
            return None;
        }
        let errno = kconform_abi::errno::known(text);
        if errno.is_none() && text == "none" {
            self.wrong_help(
                node.span,
                "none is not an errno",
                "name the one that means absence: absent: EINVAL",
            );
        } else if errno.is_none() {
            self.unknown(node.span, "errno", text, kconform_abi::errno::names(), errno_help(text));
        }
        errno.map(|(name, number)| Errno { number, name: Some(name) })
    }

    fn ret(&mut self, node: &Node) -> Option<RetWant> {
        if let Kind::Scalar(_) = &node.kind {
            let exactly = self.returned(node)?;
            self.not_of_a_failure(&exactly, "ret")?;
            return Some(RetWant::Exactly(exactly));
        }
        let entries = &*self.mapping(node, "a return value", &["min", "max"])?;
        let (min, max) = self.range(entries, node, Self::returned)?;
        if let Some(max) = &max {
            self.not_of_a_failure(max, "max")?;
        }
        if let (Some(min), Some(max)) = (&min, &max) {
            self.not_empty(min, max, |n| i128::from(n as i64))?;
        }
        Some(RetWant::Range { min, max })
    }

    /// A number that a call may return; an errno is none.
    fn returned(&mut self, node: &Node) -> Option<Expr> {
        let text = node.text().unwrap_or("").trim();
        let errno = text.strip_prefix('-').unwrap_or(text);
        if kconform_abi::errno::number(errno).is_some() {
            let help = format!("a call that fails is written errno: {errno}");
            self.wrong_help(node.span, format!("the errno {text} where a return value belongs"), help);
            return None;
        }
        self.expr(node, Fit::ANY)
    }

    /// `ret` says that the call succeeds, and no call that succeeds returns -1 to -4095.
    fn not_of_a_failure(&mut self, expr: &Expr, key: &str) -> Option<()> {
        let values = Arch::ALL.iter().map(|&arch| value(expr, arch)).collect::<Vec<_>>();
        let Some(Some(first)) = values.iter().find(|value| value.is_some()) else { return Some(()) };
        if !values.iter().flatten().all(|&value| kconform_plan::is_error(value as i64)) {
            return Some(());
        }
        let named = match *first as i64 {
            -1 => None,
            number => kconform_abi::errno::name(-number as i32),
        };
        let errno = named.unwrap_or("ENOENT");
        let text = format!("{key}: {} is what only a call that fails returns", expr.text);
        self.wrong_help(span(expr), text, format!("write its errno instead of ret, such as errno: {errno}"));
        None
    }

    /// A range from `min` to `max` in which there is a number.
    fn not_empty(&mut self, min: &Expr, max: &Expr, number: impl Fn(u64) -> i128) -> Option<()> {
        let (Some(least), Some(greatest)) = (literal(min), literal(max)) else { return Some(()) };
        if number(least) <= number(greatest) {
            return Some(());
        }
        let text = format!("nothing is from {} to {}", min.text, max.text);
        self.wrong_help(span(max), text, "min is the least, max the greatest");
        None
    }

    fn range(
        &mut self,
        entries: &[Entry],
        node: &Node,
        read: impl Fn(&mut Self, &Node) -> Option<Expr>,
    ) -> Option<(Bound, Bound)> {
        let mut bound = |key: &str| match find(entries, key) {
            Some(entry) => read(self, &entry.value).map(Some),
            None => Some(None),
        };
        let (min, max) = (bound("min"), bound("max"));
        if let (Some(None), Some(None)) = (&min, &max) {
            self.wrong_help(node.span, "a range without bounds", "write {min: 0, max: 7}, or one of them");
            return None;
        }
        Some((min?, max?))
    }

    fn signal(&mut self, node: &Node) -> Option<Placed<i32>> {
        let text = self.word(node, "a signal")?;
        let by_number = || number(text)?.ok().filter(|n| (1..=64).contains(n)).map(|n| n as i32);
        match kconform_abi::signal::number(text).or_else(by_number) {
            Some(number) => Some(self.placed(node.span, number)),
            None => {
                let help = "signals have names such as SIGBUS, or numbers from 1 to 64";
                self.unknown(node.span, "signal", text, kconform_abi::signal::names(), Some(help));
                None
            }
        }
    }

    fn expect(&mut self, node: &Node, outputs: &Outputs) -> Option<Vec<(Placed<String>, Want)>> {
        let Some(entries) = node.entries() else {
            let help = "write expect: {value: {u64: 42}}";
            self.wrong_help(node.span, format!("{} where outputs belong", node.what()), help);
            return None;
        };
        let mut wants = Vec::new();
        for entry in entries {
            let output = self.output(outputs, &entry.key, entry.key_span);
            let unknown = Output::unknown();
            let want = self.want(&entry.value, output.as_ref().unwrap_or(&unknown), &entry.key);
            wants.push(
                output.and(want).map(|want| (self.placed(entry.key_span, entry.key.to_string()), want)),
            );
        }
        wants.into_iter().collect()
    }

    fn want(&mut self, node: &Node, output: &Output, name: &str) -> Option<Want> {
        let kind = match &node.kind {
            Kind::Scalar(_) => {
                self.is_number(node, output, name)?;
                WantKind::Number(self.expr(node, output.fit(name))?)
            }
            Kind::List(_) => {
                let help = "numbers are {u32: [ … ]}, alternatives {any: [ … ]}";
                self.wrong_help(node.span, "a list where a value belongs", help);
                return None;
            }
            Kind::Map(entries) if entries.iter().any(|e| WANTS.contains(&&*e.key)) => {
                self.relation(node, entries, output, name)?
            }
            Kind::Map(entries) => {
                if !entries.iter().any(|e| PIECES.contains(&&*e.key)) {
                    let known = WANTS.iter().chain(PIECES).copied().collect::<Vec<_>>();
                    self.known_keys(entries, "an expected value", &known);
                    if entries.is_empty() {
                        self.wrong(node.span, "nothing where a value belongs");
                    }
                    let meant = mended(entries, &known).into_owned();
                    if meant.iter().any(|entry| known.contains(&&*entry.key)) {
                        self.want(&Node::new(node.span, Kind::Map(meant)), output, name);
                    }
                    return None;
                }
                let piece = self.buffer(node, &mut Outputs::expected())?;
                self.same_size(node, size(&piece.kind), output, name)?;
                WantKind::Exactly(piece)
            }
        };
        Some(Want { kind, place: self.place(node.span) })
    }

    fn relation(&mut self, node: &Node, entries: &[Entry], output: &Output, name: &str) -> Option<WantKind> {
        let entry = entries.iter().find(|e| WANTS.contains(&&*e.key))?;
        if matches!(&*entry.key, "min" | "max") {
            self.known_keys(entries, "a range", &["min", "max"]);
            let entries = &*mended(entries, &["min", "max"]);
            self.is_number(node, output, name)?;
            let (min, max) = self.range(entries, node, |reader, node| reader.expr(node, Fit::ANY))?;
            if let (Some(min), Some(max)) = (&min, &max) {
                let signed = [min, max].iter().any(|bound| bound.text.starts_with('-'));
                self.not_empty(min, max, |n| if signed { i128::from(n as i64) } else { i128::from(n) })?;
            }
            return Some(WantKind::Range { min, max });
        }
        for other in entries.iter().filter(|e| e.key != entry.key) {
            self.both(entry, other, "a value is expected in one way");
        }
        Some(match &*entry.key {
            "contains" => WantKind::Contains(self.pattern(&entry.value)?),
            "prefix" => WantKind::Prefix(self.pattern(&entry.value)?),
            "not" => WantKind::Not(Box::new(self.want(&entry.value, output, name)?)),
            _ => {
                let items = self.list(&entry.value, "values")?;
                if items.is_empty() {
                    self.wrong(entry.value.span, "an empty list of values");
                }
                let wants: Vec<_> = items.iter().map(|item| self.want(item, output, name)).collect();
                WantKind::Any(wants.into_iter().collect::<Option<_>>()?)
            }
        })
    }

    fn pattern(&mut self, node: &Node) -> Option<Pattern> {
        Some(match &node.kind {
            Kind::Map(_) => Pattern::Piece(self.buffer(node, &mut Outputs::expected())?),
            _ => Pattern::Text(self.interpolated(node)?),
        })
    }

    fn is_number(&mut self, node: &Node, output: &Output, name: &str) -> Option<()> {
        match output.size {
            None | Some(1 | 2 | 4 | 8) => Some(()),
            Some(bytes) => {
                let help =
                    "write its bytes: {u32: [ … ]}, {hex: …}, {str: …}, or {prefix: …} for the first ones";
                self.wrong_help(node.span, format!("{name} has {bytes} bytes and is no number"), help);
                None
            }
        }
    }

    fn same_size(&mut self, node: &Node, bytes: Option<u64>, output: &Output, name: &str) -> Option<()> {
        match (bytes, output.size) {
            (Some(mine), Some(its)) if mine != its => {
                let text = format!("{mine} bytes can never be what {name} holds, which has {its}");
                self.wrong_help(node.span, text, "{prefix: …} compares the first ones");
                None
            }
            _ => Some(()),
        }
    }

    /// Other outcomes under conditions.
    pub(crate) fn excepts(&mut self, node: &NodeRef, outputs: &Outputs) -> Option<Vec<Except>> {
        let excepts: Vec<_> = self.one_or_many(node).iter().map(|n| self.except(n, outputs)).collect();
        excepts.into_iter().collect()
    }

    fn except(&mut self, node: &NodeRef, outputs: &Outputs) -> Option<Except> {
        let entries = &*self.mapping(node, "an exception", EXCEPT_KEYS)?;
        let when = match find(entries, "when") {
            Some(entry) => self.requires(&entry.value),
            None => {
                self.wrong_help(
                    node.span,
                    "an exception without a condition",
                    "write when: {kernel: \"<5.11\"}",
                );
                None
            }
        };
        let outcome = self.outcome(entries, outputs);
        let because = find(entries, "because").map(|e| self.texts(&e.value, "a reason").join(" "));
        Some(Except { when: when?, outcome: outcome?, because, place: self.place(node.span) })
    }

    /// What a step keeps. It puts no name into scope yet.
    pub(crate) fn saves(&mut self, node: &Node, outputs: &Outputs) -> Option<Vec<(Save, Option<Output>)>> {
        match &node.kind {
            Kind::Scalar(_) => {
                let word = self.filled(node, "a name")?;
                let name = self.new_name(word, node.span)?;
                Some(vec![(Save { name, output: None, place: self.place(node.span) }, None)])
            }
            Kind::Map(entries) => {
                let saves: Vec<_> = entries.iter().map(|e| self.save(e, outputs)).collect();
                saves.into_iter().collect()
            }
            Kind::List(_) => {
                self.wrong_help(
                    node.span,
                    "a list where a name belongs",
                    "write save: {fd: ret, id: next_id}",
                );
                None
            }
        }
    }

    fn save(&mut self, entry: &Entry, outputs: &Outputs) -> Option<(Save, Option<Output>)> {
        let name = self.new_name(&entry.key, entry.key_span);
        let word = self.word(&entry.value, "`ret` or an output")?;
        let output = match word {
            "ret" => None,
            _ => Some(self.output(outputs, word, entry.value.span)?),
        };
        let placed = output.as_ref().map(|_| self.placed(entry.value.span, word.to_owned()));
        Some((Save { name: name?, output: placed, place: self.place(entry.key_span) }, output))
    }
}

type Bound = Option<Expr>;

/// Where an expression is written.
fn span(expr: &Expr) -> Span {
    Span { start: expr.place.start, end: expr.place.end }
}

/// An expression's value on an architecture, where nothing of it is known only to the kernel or to an earlier step.
pub(super) fn value(expr: &Expr, arch: Arch) -> Option<u64> {
    expr.terms.iter().try_fold(0, |bits, term| Some(bits | term.value(arch, None)?))
}

/// What is often written for an errno.
fn errno_help(word: &str) -> Option<&'static str> {
    match word {
        "0" | "ok" | "OK" | "success" => Some("write errno: none"),
        _ => None,
    }
}
