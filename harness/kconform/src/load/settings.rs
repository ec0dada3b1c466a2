//! What `requires` and `when` say of how a kernel is set up.

use kconform_plan::{Lockdown, SYSCTLS, dots_and_slashes_swapped, known_sysctl};

use crate::place::Span;
use crate::wants::{SettingsWant, SysctlValues, SysctlWant};
use crate::yaml::reader::find;
use crate::yaml::tree::{Entry, Kind, Node, NodeRef};

use super::case_reader::CaseReader;

/// A sysctl with at most so many mistakes is meant to be one of the table; there are many others.
const MISTAKES: usize = 3;

/// The keys of a range.
const RANGE: &[&str] = &["min", "max"];

impl CaseReader<'_> {
    /// The value of one of the keys that speak of settings; nothing for any other key.
    pub(super) fn setting(&mut self, key: &str, node: &NodeRef, want: &mut SettingsWant) -> Option<()> {
        match key {
            "sysctl" => self.sysctl_wants(node).map(|wants| want.sysctl = wants),
            "jit" => self.truth(node).map(|truth| want.jit = Some(truth)),
            "lockdown" => self.several(node, Self::lockdown).map(|levels| want.lockdown = levels),
            "lsm" => {
                let help = "write bpf, or !selinux for a kernel where it is not active";
                let read = |reader: &mut Self, item: &Node| reader.negatable(item, "an LSM", help, is_module);
                self.several(node, read).map(|names| want.lsm = names)
            }
            "cmdline" => {
                let help = "write nokaslr, lsm=bpf, or !nokaslr for a kernel booted without it";
                let read =
                    |reader: &mut Self, item: &Node| reader.negatable(item, "a boot option", help, is_option);
                self.several(node, read).map(|options| want.cmdline = options)
            }
            _ => Some(()),
        }
    }

    fn lockdown(&mut self, node: &Node) -> Option<Lockdown> {
        let word = self.word(node, "a lockdown level")?;
        let level = Lockdown::ALL.into_iter().find(|level| level.name() == word);
        if level.is_none() {
            let names = Lockdown::ALL.map(Lockdown::name);
            let all = format!("there are {}", names.join(", "));
            self.unknown(node.span, "lockdown level", word, names, Some(&all));
        }
        level
    }

    /// A word, or `!` and a word.
    fn negatable(
        &mut self,
        node: &Node,
        what: &str,
        help: &str,
        is_fine: fn(&str) -> bool,
    ) -> Option<(String, bool)> {
        let word = self.word(node, what)?.trim();
        let (name, wanted) = match word.strip_prefix('!') {
            Some(name) => (name.trim(), false),
            None => (word, true),
        };
        if !is_fine(name) {
            self.wrong_help(node.span, format!("{word} is not {what}"), help);
            return None;
        }
        Some((name.to_owned(), wanted))
    }

    fn sysctl_wants(&mut self, node: &NodeRef) -> Option<Vec<SysctlWant>> {
        let Some(entries) = node.entries() else {
            let help = "write sysctl: {net.core.bpf_jit_harden: 0}";
            self.wrong_help(node.span, format!("{} where sysctls belong", node.what()), help);
            return None;
        };
        if entries.is_empty() {
            self.wrong(node.span, "no sysctl");
        }
        let wants: Vec<_> = entries.iter().map(|entry| self.sysctl_want(entry)).collect();
        wants.into_iter().collect()
    }

    fn sysctl_want(&mut self, entry: &Entry) -> Option<SysctlWant> {
        let name = self.sysctl_name(&entry.key, entry.key_span);
        let values = self.sysctl_values(&entry.value);
        let (name, values) = (name?, values?);
        if known_sysctl(&name).is_none() && !self.sysctls.contains(&name) {
            self.sysctls.push(name.clone());
        }
        Some(SysctlWant { name, values })
    }

    /// A name as sysctl(8) takes it: `net.core.bpf_jit_harden`, or `net/core/bpf_jit_harden`. A dotted one that is nearly one
    /// of the table is a slip.
    fn sysctl_name(&mut self, text: &str, span: Span) -> Option<String> {
        let first = text.find(['.', '/']);
        let by_path = first.is_some_and(|at| text[at..].starts_with('/'));
        let name = if by_path { dots_and_slashes_swapped(text) } else { text.to_owned() };
        let is_name = first.is_some()
            && name.split('.').all(|part| part.contains(|c| c != '/'))
            && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-/:@".contains(c));
        let known = || SYSCTLS.iter().map(|known| known.name);
        if known_sysctl(&name).is_some() {
            return Some(name);
        }
        let last = name.rsplit('.').next().unwrap_or(&name);
        // The right word in the wrong place is a slip, too.
        let moved = known().find(|known| known.rsplit('.').next() == Some(last));
        match kconform_abi::slip(&name, known(), MISTAKES).or(moved).filter(|_| !by_path) {
            Some(near) => {
                let path = text.replace('.', "/");
                let help = match is_name {
                    true => format!("did you mean {near}? (if there is a {text}, write {path})"),
                    false => format!("did you mean {near}?"),
                };
                self.wrong_help(span, format!("unknown sysctl {text}"), help);
                None
            }
            None if is_name => Some(name),
            None => {
                let help = "a sysctl is named like net.core.bpf_jit_harden";
                self.wrong_help(span, format!("{text} is not a sysctl"), help);
                None
            }
        }
    }

    /// A value, a list of them, or a range.
    fn sysctl_values(&mut self, node: &NodeRef) -> Option<SysctlValues> {
        let Kind::Map(_) = &node.kind else {
            let values = self.several(node, |reader, item| {
                let word = reader.word(item, "the value of a sysctl")?.trim();
                Some((word != "none").then(|| word.to_owned()))
            })?;
            if values.is_empty() {
                self.wrong(node.span, "no value of a sysctl");
                return None;
            }
            return Some(SysctlValues::OneOf(values));
        };
        let entries = &*self.mapping(node, "a range", RANGE)?;
        let mut bound = |key: &str| match find(entries, key) {
            None => Some(None),
            Some(entry) => {
                let word = self.word(&entry.value, "a number")?.trim();
                let number = word.parse::<i64>();
                if number.is_err() {
                    self.wrong_help(entry.value.span, format!("{word} is not a number"), "write 0 or -1");
                }
                number.ok().map(Some)
            }
        };
        let (min, max) = (bound("min"), bound("max"));
        let (min, max) = (min?, max?);
        let is_empty = matches!((min, max), (Some(min), Some(max)) if min > max);
        if is_empty || min.is_none() && max.is_none() {
            let what = if is_empty { "a range without values" } else { "a range without bounds" };
            self.wrong_help(node.span, what, "write {min: 1}, {max: 2} or {min: 1, max: 2}");
            return None;
        }
        Some(SysctlValues::Range { min, max })
    }
}

/// Names of security modules are words of C (`struct lsm_id` of include/linux/lsm_hooks.h).
fn is_module(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// One word of the command line, with a name.
fn is_option(option: &str) -> bool {
    let is_word = option.bytes().all(|b| b.is_ascii_graphic());
    is_word && !option.is_empty() && !option.starts_with(['=', '!'])
}
