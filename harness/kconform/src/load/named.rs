//! Arguments of a system call by name: `openat: {dirfd: AT_FDCWD, path: {str: x}}`.

use kconform_abi::{Arch, prototype};

use crate::arguments::{order, param, params};
use crate::case::{Arg, Call};
use crate::place::Placed;
use crate::yaml::reader::mended;
use crate::yaml::tree::Entry;

use super::case_reader::CaseReader;
use super::outputs::Outputs;

impl CaseReader<'_> {
    /// A call whose arguments are a mapping. The system call is known.
    pub(crate) fn named(&mut self, entry: &Entry, args: &[Entry], outputs: &mut Outputs) -> Option<Call> {
        let call = &*entry.key;
        let mut known: Vec<&str> = Vec::new();
        let mut shown: Vec<&str> = Vec::new();
        for param in params(call) {
            known.extend([param.name, param.kernel_name]);
            if !shown.contains(&param.name) {
                shown.push(param.name);
            }
        }
        if known.is_empty() && !args.is_empty() {
            self.has_none(entry);
            return None;
        }
        for arg in args.iter().filter(|arg| !known.contains(&&*arg.key)) {
            let all = format!(
                "its arguments are {}; without names they are a list: {call}: [ … ]",
                shown.join(", ")
            );
            let known = known.iter().copied();
            self.unknown(arg.key_span, &format!("argument of {call}:"), &arg.key, known, Some(&all));
        }
        let args = &*mended(args, &known);
        let mut names: Vec<&'static str> = Vec::new();
        let mut entries: Vec<&Entry> = Vec::new();
        let mut read: Vec<Option<Placed<Arg>>> = Vec::new();
        let mut fine = Some(());
        for arg in args {
            let value = self.arg(&arg.value, &arg.key, outputs);
            let Some(param) = param(call, &arg.key) else {
                fine = None;
                continue;
            };
            if let Some(first) = names.iter().position(|name| *name == param.name) {
                let text = format!("{} is {}, which is written already", arg.key, entries[first].key);
                self.wrong_see(arg.key_span, text, entries[first].key_span, "written here");
                fine = None;
                continue;
            }
            names.push(param.name);
            entries.push(arg);
            match &value {
                Some(Placed { value: Arg::Buffer(piece), .. }) => {
                    outputs.add_arg(call, &names, names.len() - 1, piece);
                }
                Some(_) => {}
                None => outputs.add_unread(param.name, &arg.value),
            }
            read.push(value);
        }
        outputs.all_known = true;
        if fine.is_some() {
            self.complete(entry, &names, &entries);
        }
        let written = names.iter().zip(&entries).zip(&read);
        let written: Vec<_> = written
            .filter_map(|((name, entry), arg)| Some((*name, &*entry.value, &arg.as_ref()?.value)))
            .collect();
        self.named_keep_to_prototype(call, &written);
        fine?;
        Some(Call::Syscall { name: call.to_owned(), args: read.into_iter().collect::<Option<_>>()?, names })
    }

    fn has_none(&mut self, entry: &Entry) {
        let call = &entry.key;
        let (text, help) = match Arch::ALL.iter().find_map(|&arch| prototype(arch, call)) {
            Some(_) => (format!("{call} takes no argument"), format!("write {call}: []")),
            None => {
                let help = format!("arguments are a list: {call}: [ … ]");
                (format!("the names of the arguments of {call} are not known"), help)
            }
        };
        self.wrong_help(entry.value.span, text, help);
    }

    /// Only arguments at the end may be left out, on one architecture that has the call at least.
    fn complete(&mut self, entry: &Entry, names: &[&'static str], entries: &[&Entry]) {
        let call = &*entry.key;
        let mut missing: Option<Vec<(&str, usize)>> = None;
        for &arch in Arch::ALL {
            let (Some(known), Ok(order)) = (prototype(arch, call), order(arch, call, names, names.len()))
            else {
                continue;
            };
            let mut holes = Vec::new();
            for (nth, _) in order.iter().enumerate().filter(|(_, written)| written.is_none()) {
                if let Some(next) = order[nth..].iter().find_map(|written| *written) {
                    holes.push((known.params[nth].name, next));
                }
            }
            let before = missing.get_or_insert_with(|| holes.clone());
            before.retain(|(name, _)| holes.iter().any(|(hole, _)| hole == name));
        }
        let Some(missing) = missing else {
            let text = format!("{call} has these arguments on different architectures: {}", names.join(", "));
            self.wrong_help(
                entry.value.span,
                text,
                format!("`kconform explain {call}` shows which has which"),
            );
            return;
        };
        for (name, next) in missing {
            let text = format!("{name} is left out before {}", entries[next].key);
            let help = format!("only those at the end may be left out: write {name}: 0");
            self.wrong_help(entries[next].key_span, text, help);
        }
    }
}
