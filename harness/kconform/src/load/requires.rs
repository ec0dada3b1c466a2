//! `requires` and `when`: what a kernel, and the user on it, must have.

use kconform_abi::{Arch, capability};

use crate::case::{Comparison, KernelRange, Requires, SMALLEST_PAGE};
use crate::place::Span;
use crate::yaml::tree::{Node, NodeRef};

use super::case_reader::CaseReader;
use super::expr::{Fit, literal};

pub(super) const KEYS: &[&str] = &[
    "kernel",
    "arch",
    "page_size",
    "capabilities",
    "config",
    "privileged",
    "sysctl",
    "jit",
    "lockdown",
    "lsm",
    "cmdline",
];

/// The longer sign first, where one begins with another.
const COMPARISONS: &[(&str, Comparison)] = &[
    ("<=", Comparison::LessOrEqual),
    (">=", Comparison::GreaterOrEqual),
    ("!=", Comparison::NotEqual),
    ("==", Comparison::Equal),
    ("<", Comparison::Less),
    (">", Comparison::Greater),
    ("=", Comparison::Equal),
];

impl CaseReader<'_> {
    /// Everything under a `requires` or `when`.
    pub(crate) fn requires(&mut self, node: &Node) -> Option<Requires> {
        let entries = &*self.mapping(node, "a mapping of requirements", KEYS)?;
        let mut requires = Requires::default();
        let mut fine = Some(());
        for entry in entries {
            let value = &entry.value;
            let read = match &*entry.key {
                "kernel" => self.kernel_range(value).map(|range| {
                    requires.kernel = Some(self.placed(value.span, range));
                }),
                "arch" => self.several(value, Self::arch).map(|list| requires.arch = list),
                "page_size" => self.several(value, Self::page_size).map(|list| requires.page_size = list),
                "capabilities" => self.capabilities(value).map(|list| requires.capabilities = list),
                "config" => self.several(value, Self::config).map(|list| requires.config = list),
                "privileged" => self.truth(value).map(|truth| requires.privileged = Some(truth)),
                key => self.setting(key, value, &mut requires.settings),
            };
            fine = fine.and(read);
        }
        fine.map(|()| requires)
    }

    /// Bytes of a page.
    fn page_size(&mut self, node: &Node) -> Option<u64> {
        let expr = self.expr(node, Fit { bytes: 4, signed: false, what: "the size of a page" })?;
        let size = literal(&expr).filter(|size| size.is_power_of_two() && *size >= SMALLEST_PAGE);
        if size.is_none() {
            let text = format!("no page has the size {}", expr.text);
            self.wrong_help(node.span, text, "write 4096, 16384 or 65536");
        }
        size
    }

    /// Capabilities by name.
    pub(crate) fn capabilities(&mut self, node: &NodeRef) -> Option<Vec<u8>> {
        self.several(node, |reader, item| {
            let name = reader.word(item, "a capability")?;
            let number = capability::number(name).and_then(|n| u8::try_from(n).ok());
            if number.is_none() {
                reader.unknown(item.span, "capability", name, capability::names(), None);
            }
            number
        })
    }

    pub(super) fn several<T>(
        &mut self,
        node: &NodeRef,
        read: impl Fn(&mut Self, &Node) -> Option<T>,
    ) -> Option<Vec<T>> {
        let all: Vec<_> = self.one_or_many(node).iter().map(|item| read(self, item)).collect();
        all.into_iter().collect()
    }

    fn arch(&mut self, node: &Node) -> Option<Arch> {
        let name = self.word(node, "an architecture")?;
        let arch = Arch::ALL.iter().copied().find(|a| a.name() == name);
        if arch.is_none() {
            let names = || Arch::ALL.iter().map(|a| a.name());
            let help = match Arch::from_name(name) {
                Some(arch) => format!("write {}, as `uname -m` says it", arch.name()),
                None => format!("there are {}", names().collect::<Vec<_>>().join(", ")),
            };
            match Arch::from_name(name) {
                Some(_) => self.wrong_help(node.span, format!("unknown architecture {name}"), help),
                None => self.unknown(node.span, "architecture", name, names(), Some(&help)),
            }
        }
        arch
    }

    fn config(&mut self, node: &Node) -> Option<(String, bool)> {
        let word = self.word(node, "a CONFIG_… name")?;
        let (name, wanted) = match word.strip_prefix('!') {
            Some(name) => (name.trim(), false),
            None => (word, true),
        };
        let rest = name.strip_prefix("CONFIG_");
        if rest.is_some_and(|r| !r.is_empty() && r.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')) {
            return Some((name.to_owned(), wanted));
        }
        let help = "write CONFIG_BPF_SYSCALL, or !CONFIG_BPF_SYSCALL for a kernel without it";
        self.wrong_help(node.span, format!("{word} is not the name of a kernel option"), help);
        None
    }

    /// `">=5.6, <6.12"`.
    fn kernel_range(&mut self, node: &Node) -> Option<KernelRange> {
        let text = self.word(node, "a range of kernel versions")?;
        let mut bounds = Vec::new();
        let mut at = 0;
        for part in text.split(',') {
            let start = at + part.len() - part.trim_start().len();
            let span = node.part(start..start + part.trim().len());
            bounds.push(self.kernel_bound(part.trim(), span)?);
            at += part.len() + 1;
        }
        Some(KernelRange { text: text.to_owned(), bounds })
    }

    fn kernel_bound(&mut self, text: &str, span: Span) -> Option<(Comparison, Vec<u32>)> {
        let sign = COMPARISONS.iter().find_map(|(sign, c)| Some((*c, text.strip_prefix(sign)?.trim())));
        let Some((comparison, version)) = sign else {
            let help = "write \">=5.6\" or \">=5.6, <6.12\"; the signs are < <= = != >= >";
            self.wrong_help(span, format!("`{text}` is not a range of kernel versions"), help);
            return None;
        };
        Some((comparison, self.version(version, span)?))
    }

    /// `6.12`.
    pub(crate) fn version(&mut self, text: &str, span: Span) -> Option<Vec<u32>> {
        let numbers: Option<Vec<u32>> = text.split('.').map(plain_number).collect();
        let numbers = numbers.filter(|n| (1..=4).contains(&n.len()));
        if numbers.is_none() {
            self.wrong_help(span, format!("`{text}` is not a kernel version"), "write 6.12 or 6.1.192");
        }
        numbers
    }
}

/// Digits only: `parse` alone would take `+6`.
fn plain_number(text: &str) -> Option<u32> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
}
