//! Numbers: expressions of a case as expressions of C.

use kconform_abi::Arch;
use kconform_plan::{BtfQuery, BtfWant};

use crate::case::{Address, Expr, Term};
use crate::insn;

use super::state::Export;
use super::{ExportError, names, uncovered};

/// A number as C has it.
pub(super) fn number(value: u64) -> String {
    match value as i64 {
        i64::MIN => "0x8000000000000000".to_owned(),
        small @ -0x8000_0000..0 => small.to_string(),
        negative if negative < 0 => format!("{value:#x}"),
        large if large > 0xffff => format!("{value:#x}"),
        plain => plain.to_string(),
    }
}

/// A question about a type of the kernel.
pub(super) fn btf(query: &BtfQuery) -> String {
    let (kind, name) = (query.kind, names::literal(query.name.as_bytes()));
    match &query.want {
        BtfWant::Id => format!("btf_id({kind}, {name})"),
        BtfWant::Size => format!("btf_size({kind}, {name})"),
        BtfWant::Offset(path) => format!("btf_offset({kind}, {name}, {})", names::literal(path.as_bytes())),
        BtfWant::Index(member) => {
            format!("btf_index({kind}, {name}, {})", names::literal(member.as_bytes()))
        }
    }
}

/// What each architecture has for a number; the same, or a name for the differing numbers.
pub(super) enum Values {
    /// One number, or none anywhere.
    Same(Option<u64>),
    /// Differing ones.
    Each(Vec<(Arch, Option<u64>)>),
}

/// A number for each architecture.
pub(super) fn values(of: impl Fn(Arch) -> Option<u64>) -> Values {
    let all: Vec<_> = Arch::ALL.iter().map(|&arch| (arch, of(arch))).collect();
    match all.iter().all(|(_, value)| *value == all[0].1) {
        true => Values::Same(all[0].1),
        false => Values::Each(all),
    }
}

impl Export<'_> {
    /// An expression; its type may be any integer.
    pub(super) fn expr(&mut self, expr: &Expr) -> Result<String, ExportError> {
        let mut terms = Vec::with_capacity(expr.terms.len());
        for term in &expr.terms {
            terms.push(self.term(expr, term)?);
        }
        Ok(match terms.len() {
            0 => "0".to_owned(),
            _ => terms.join(" | "),
        })
    }

    fn term(&mut self, expr: &Expr, term: &Term) -> Result<String, ExportError> {
        Ok(match term {
            Term::Number(value) => {
                let text = expr.text.trim();
                let hex = text
                    .strip_prefix("0x")
                    .is_some_and(|digits| u64::from_str_radix(digits, 16) == Ok(*value));
                if hex { text.to_owned() } else { number(*value) }
            }
            Term::Constant(name) => self.constant(name),
            Term::Saved(name) => self.saved(name),
            Term::Btf(query) => self.btf(query),
            Term::Layout(layout) => {
                let name = match &layout.want {
                    crate::uapi::LayoutWant::Size => format!("SIZEOF_{}", layout.structure),
                    crate::uapi::LayoutWant::Offset(member) => {
                        format!("OFFSET_{}_{member}", layout.structure)
                    }
                    crate::uapi::LayoutWant::SizeOf(member) => {
                        format!("SIZEOF_{}_{member}", layout.structure)
                    }
                };
                self.per_arch(&name, |arch| layout.value(arch))
            }
            Term::Arithmetic(text) => {
                let of = |page| move |arch| crate::case::arithmetic(text, arch, Some(page));
                match (values(of(4096)), values(of(65_536))) {
                    (Values::Same(Some(value)), Values::Same(Some(other))) if value == other => {
                        format!("{} /* {} */", number(value), names::comment(text))
                    }
                    (Values::Same(Some(_)), _) => self.with_pages(text),
                    _ => return uncovered(&expr.place, "arithmetic with what differs between architectures"),
                }
            }
        })
    }

    /// Arithmetic with the size of pages, as it is written; `long` throughout.
    fn with_pages(&mut self, text: &str) -> String {
        let mut c = String::from("(");
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let length = match first {
                c if c.is_ascii_alphanumeric() || c == '_' => {
                    rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len())
                }
                c => c.len_utf8(),
            };
            let (word, behind) = rest.split_at(length);
            match word {
                "PAGE_SIZE" => c.push_str("page_size()"),
                word if first.is_ascii_digit() => match insn::arithmetic(word, &|_| None) {
                    Ok(value) => c.push_str(&format!("{value}L")),
                    Err(_) => c.push_str(word),
                },
                word if first.is_ascii_alphabetic() || first == '_' => c.push_str(&self.constant(word)),
                other => c.push_str(other),
            }
            rest = behind;
        }
        c + ")"
    }

    /// A constant by its name: `file` defines those that it finds in the code.
    pub(super) fn constant(&mut self, name: &str) -> String {
        if name == insn::PAGE_SIZE {
            return "page_size()".to_owned();
        }
        name.to_owned()
    }

    /// A name for a number that differs between architectures, or the number.
    pub(super) fn per_arch(&mut self, name: &str, of: impl Fn(Arch) -> Option<u64>) -> String {
        let name: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        match values(of) {
            Values::Same(Some(value)) => number(value),
            Values::Same(None) => "0".to_owned(),
            Values::Each(all) => {
                self.defines.insert(name.clone(), all);
                name
            }
        }
    }

    /// What the kernel's types say, asked for before the case begins too.
    pub(super) fn btf(&mut self, query: &BtfQuery) -> String {
        let question = btf(query);
        if !self.questions.contains(&question) {
            self.questions.push(question.clone());
        }
        question
    }

    /// A pointer to nothing usable, as a number.
    pub(super) fn address(&mut self, address: Address) -> String {
        match address {
            Address::Null => "0".to_owned(),
            Address::Unmapped => "0x1000 /* unmapped */".to_owned(),
            Address::ReadOnly => "ptr(read_only())".to_owned(),
            Address::Kernel => {
                let all = Arch::ALL.iter().map(|&arch| (arch, Some(arch.kernel_address()))).collect();
                self.defines.insert("KERNEL_ADDRESS".to_owned(), all);
                "KERNEL_ADDRESS".to_owned()
            }
        }
    }

    /// A size in bytes as C, and as a number where it is the same on every kernel.
    pub(super) fn size(&mut self, expr: &Expr) -> Result<(String, Option<u64>), ExportError> {
        let at = |page| {
            move |arch| {
                let mut bits = 0;
                for term in &expr.terms {
                    bits |= term.value(arch, Some(page))?;
                }
                Some(bits)
            }
        };
        let known = match (values(at(4096)), values(at(65_536))) {
            (Values::Same(value), Values::Same(other)) if value == other => value,
            _ => None,
        };
        Ok((self.expr(expr)?, known))
    }
}
