//! Instructions: the macros of the kernel's `filter.h`, as the file defines them and as the case calls them.

use crate::insn::{self, Imm, Insns};
use crate::place::Placed;

use super::numbers::{btf, number};
use super::state::Export;
use super::{ExportError, uncovered};

impl Export<'_> {
    /// The calls of macros, one a line.
    pub(super) fn insns(&mut self, calls: &[Placed<Insns>]) -> Result<Vec<String>, ExportError> {
        calls.iter().map(|call| self.insn(call)).collect()
    }

    fn insn(&mut self, call: &Placed<Insns>) -> Result<String, ExportError> {
        let text = &call.value.text;
        let Some((name, args)) = insn::split(text) else { return uncovered(&call.place, "an instruction") };
        self.macros.insert(name);
        let mut written = Vec::with_capacity(args.len());
        for (nth, arg) in args.iter().enumerate() {
            written.push(self.insn_arg(call, name, nth, arg)?);
        }
        Ok(format!("{name}({})", written.join(", ")))
    }

    fn insn_arg(
        &mut self,
        call: &Placed<Insns>,
        name: &str,
        nth: usize,
        arg: &str,
    ) -> Result<String, ExportError> {
        if let Some(saved) = arg.strip_prefix('$') {
            return Ok(self.saved(saved));
        }
        if crate::btf::is_question(arg) {
            let list = &call.value.list;
            let asked = list.iter().find_map(|insn| match (&insn.imm, &insn.member) {
                (Imm::Btf(query), _) | (_, Some(query)) if btf_matches(arg, query) => Some(query.clone()),
                _ => None,
            });
            let Some(query) = asked else {
                return uncovered(&call.place, "this");
            };
            return Ok(self.btf(&query));
        }
        if arg.contains(insn::PAGE_SIZE) {
            return Ok(arg.replace(insn::PAGE_SIZE, "page_size()"));
        }
        let words = arg.split('|').map(str::trim);
        let is_plain = |word: &str| {
            let word = word.strip_prefix('-').unwrap_or(word);
            let digits = word.strip_prefix("0x").unwrap_or(word);
            !word.is_empty()
                && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
                && !(word.starts_with("0o") || word.starts_with("0b"))
                && (!word.starts_with(|c: char| c.is_ascii_digit())
                    || digits.len() < 17 && word != "9223372036854775808")
        };
        if words.clone().all(is_plain) && insn::arithmetic(arg, &|name| constant(name)).is_ok() {
            for word in words.map(|word| word.trim_start_matches('-')) {
                if word.starts_with(|c: char| c.is_ascii_alphabetic()) {
                    self.constant(word);
                }
            }
            return Ok(arg.to_owned());
        }
        match insn::arithmetic(arg, &|name| constant(name)) {
            Ok(value) => {
                let value = i64::try_from(value).map_or(value as u64, |value| value as u64);
                Ok(format!("{} /* {} */", number(value), super::names::comment(arg)))
            }
            Err(_) => uncovered(&call.place, format!("argument {} of {name}", nth + 1)),
        }
    }
}

/// A constant that is the same on every architecture.
fn constant(name: &str) -> Option<u64> {
    insn::alias(name).or_else(|| kconform_abi::constant(kconform_abi::Arch::X86_64, name))
}

fn btf_matches(arg: &str, query: &kconform_plan::BtfQuery) -> bool {
    crate::btf::parse(arg).is_ok_and(|asked| btf(&asked) == btf(query))
}
