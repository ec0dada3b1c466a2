//! What a call must do, as conditions of C.

use crate::case::{Expr, Outcome, Pattern, Piece, PieceKind, RetWant, Term, Want, WantKind};
use crate::strace;

use super::call::{Check, find};
use super::memory::{plain, stride, word};
use super::names::literal;
use super::outputs::{Outputs, Part};
use super::state::Export;
use super::{ExportError, uncovered};

impl Export<'_> {
    /// All that an outcome asks. What it compares with is written before it.
    pub(super) fn checks(&mut self, outcome: &Outcome, outputs: &Outputs) -> Result<Vec<Check>, ExportError> {
        let (good, what) = match &outcome.signal {
            Some(signal) => {
                let name = kconform_abi::signal::name(signal.value).unwrap_or("a signal");
                ("0".to_owned(), format!("the end by {name}"))
            }
            None => self.ret(&outcome.ret)?,
        };
        let mut checks = vec![Check { good, what, part: None }];
        for (name, want) in &outcome.expect {
            let part = find(outputs, &name.value, &name.place)?.clone();
            let mut good = self.want(want, &part)?;
            if matches!(outcome.ret, RetWant::Either { .. }) {
                good = format!("ret < 0 || ({good})");
            }
            let text: String = described(want).chars().take(200).collect();
            let what = format!("{}: {text}", name.value);
            checks.push(Check { good, what, part: Some(part) });
        }
        Ok(checks)
    }

    fn ret(&mut self, want: &RetWant) -> Result<(String, String), ExportError> {
        let errnos = |errnos: &[crate::case::Errno]| {
            let all: Vec<String> = errnos.iter().map(crate::case::Errno::written).collect();
            let good: Vec<String> = all.iter().map(|name| format!("ret == -{name}")).collect();
            (good.join(" || "), all.join(" or "))
        };
        Ok(match want {
            RetWant::Success => ("ret >= 0".to_owned(), "success".to_owned()),
            RetWant::Errno(list) => errnos(list),
            RetWant::Exactly(expr) => {
                let value = self.expr(expr)?;
                let value = if is_word(&value) { value } else { format!("(long)({value})") };
                (format!("ret == {value}"), expr.text.clone())
            }
            RetWant::Range { min, max } => {
                let (least, most) = (self.bound(min.as_ref(), "0")?, self.bound(max.as_ref(), "LONG_MAX")?);
                let text =
                    |bound: &Option<Expr>| bound.as_ref().map_or("", |expr| expr.text.as_str()).to_owned();
                (
                    format!("ret >= 0 && signed_from_to(ret, {least}, {most})"),
                    format!("{} to {}", text(min), text(max)),
                )
            }
            RetWant::Either { success, errnos: list } => {
                let ((good, what), (bad, names)) = (self.ret(success)?, errnos(list));
                (format!("({good}) || {bad}"), format!("{what} or {names}"))
            }
        })
    }

    fn bound(&mut self, bound: Option<&Expr>, none: &str) -> Result<String, ExportError> {
        bound.map_or_else(|| Ok(none.to_owned()), |expr| self.expr(expr))
    }

    fn want(&mut self, want: &Want, part: &Part) -> Result<String, ExportError> {
        let Part { data, size, .. } = part;
        Ok(match &want.kind {
            WantKind::Number(expr) => self.is_number(expr, part)?,
            WantKind::Exactly(piece) => self.exactly(piece, part)?,
            WantKind::Contains(pattern) => {
                let (wanted, length) = self.pattern(pattern)?;
                format!("contains({data}, {size}, {wanted}, {length})")
            }
            WantKind::Prefix(pattern) => {
                let (wanted, length) = self.pattern(pattern)?;
                format!("begins_with({data}, {size}, {wanted}, {length})")
            }
            WantKind::Not(inner) => format!("!({})", self.want(inner, part)?),
            WantKind::Any(wants) => {
                let mut any = Vec::new();
                for want in wants {
                    any.push(format!("({})", self.want(want, part)?));
                }
                if any.is_empty() { "0".to_owned() } else { any.join(" || ") }
            }
            WantKind::Range { min, max } => {
                match part.is_number() {
                    Some(true) => {}
                    Some(false) => return Ok("0".to_owned()),
                    None => return uncovered(&want.place, "this"),
                }
                let width = part.known.unwrap_or(8) as u8;
                let value = part.as_number();
                match [min, max].into_iter().flatten().any(negative) {
                    true => {
                        let (least, most) =
                            (self.bound(min.as_ref(), "LLONG_MIN")?, self.bound(max.as_ref(), "LLONG_MAX")?);
                        format!("signed_from_to(({}){value}, {least}, {most})", word(width, true))
                    }
                    false => {
                        let (least, most) =
                            (self.bound(min.as_ref(), "0")?, self.bound(max.as_ref(), "ULLONG_MAX")?);
                        format!("from_to({value}, {least}, {most})")
                    }
                }
            }
        })
    }

    fn is_number(&mut self, expr: &Expr, part: &Part) -> Result<String, ExportError> {
        let value = self.expr(expr)?;
        match part.is_number() {
            Some(true) => {}
            Some(false) => return Ok("0".to_owned()),
            None => return Ok(format!("is_number({}, {}, {value})", part.data, part.size)),
        }
        let width = part.known.unwrap_or(8);
        let known = self.size(expr)?.1;
        if known.is_some_and(|known| !fits(known, width)) {
            return Ok(format!("0 /* {value} */"));
        }
        let plain = known.is_some_and(|known| known <= 0x7fff_ffff) && is_word(&value);
        let value = if plain { value } else { format!("({})({value})", word(width as u8, false)) };
        Ok(format!("{} == {value}", part.as_number()))
    }

    fn exactly(&mut self, piece: &Piece, part: &Part) -> Result<String, ExportError> {
        let Part { data, size, .. } = part;
        Ok(match &piece.kind {
            PieceKind::Numbers { width, values, .. }
                if values.len() == 1 && part.known == Some((*width).into()) =>
            {
                self.is_number(&values[0], part)?
            }
            PieceKind::Zero(count) => {
                let count = self.expr(count)?;
                format!("is_filled({data}, {size}, 0, {count})")
            }
            PieceKind::Fill { byte, count } => {
                let (byte, count) = (self.expr(byte)?, self.expr(count)?);
                format!("is_filled({data}, {size}, {byte}, {count})")
            }
            PieceKind::Str(text) if plain(text).is_some() => {
                let bytes = plain(text).unwrap_or_default();
                format!("same({data}, {size}, {}, {})", literal(bytes), bytes.len() + 1)
            }
            PieceKind::PercpuAll(value) => {
                let values = std::slice::from_ref(&**value);
                self.percpu(piece, values, false, part)?
            }
            PieceKind::PercpuEach(values) => self.percpu(piece, values, true, part)?,
            _ => {
                let (wanted, length, _) = self.compared(piece)?;
                format!("same({data}, {size}, {wanted}, {length})")
            }
        })
    }

    /// Slots of CPUs, whose padding does not count.
    fn percpu(
        &mut self,
        piece: &Piece,
        values: &[Piece],
        zeros: bool,
        part: &Part,
    ) -> Result<String, ExportError> {
        let mut largest = 0;
        for value in values {
            let Some(size) = self.size_of(value)? else {
                return uncovered(&piece.place, "a per-CPU value of a size that the kernel says");
            };
            largest = largest.max(size);
        }
        let mut all = Vec::new();
        for value in values {
            let (data, size, _) = self.compared(value)?;
            all.push(format!("{{ (__u8 *){data}, {size} }}"));
        }
        if zeros {
            all.push(format!("{{ (__u8 *)(char[{}]){{ 0 }}, {largest} }}", largest.max(1)));
        }
        let (count, all, stride) = (all.len(), all.join(", "), stride(largest));
        Ok(format!("is_percpu({}, {}, {stride}, (struct bytes[]){{ {all} }}, {count})", part.data, part.size))
    }

    fn pattern(&mut self, pattern: &Pattern) -> Result<(String, String), ExportError> {
        match pattern {
            Pattern::Text(text) => Ok(self.compared_text(text)),
            Pattern::Piece(piece) => {
                let (data, size, _) = self.compared(piece)?;
                Ok((data, size))
            }
        }
    }
}

/// What an output must hold, in words.
fn described(want: &Want) -> String {
    let pattern = |pattern: &Pattern| match pattern {
        Pattern::Text(wanted) => format!("{:?}", wanted.to_string()),
        Pattern::Piece(piece) => strace::written_piece(piece),
    };
    match &want.kind {
        WantKind::Number(expr) => expr.text.clone(),
        WantKind::Exactly(piece) => strace::written_piece(piece),
        WantKind::Contains(wanted) => format!("{} in it", pattern(wanted)),
        WantKind::Prefix(wanted) => format!("{} at its start", pattern(wanted)),
        WantKind::Not(inner) => format!("not {}", described(inner)),
        WantKind::Any(wants) => wants.iter().map(described).collect::<Vec<_>>().join(" or "),
        WantKind::Range { min, max } => {
            let bound =
                |bound: &Option<Expr>| bound.as_ref().map_or("", |expr| expr.text.as_str()).to_owned();
            format!("{} to {}", bound(min), bound(max))
        }
    }
}

fn is_word(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Whether a number can be written in so many bytes, as an unsigned or as a signed one.
fn fits(value: u64, width: u64) -> bool {
    let bits = 8 * width.min(8);
    bits == 64 || value >> bits == 0 || (value as i64) >> (bits - 1) == -1
}

/// A bound is negative when it is written with a minus sign, or is a constant such as AT_FDCWD.
fn negative(expr: &Expr) -> bool {
    let small = |bits: u64| i32::try_from(bits as i64).is_ok_and(|value| value < 0);
    let is_small = |term: &Term| match term {
        Term::Constant(name) => {
            let all = kconform_abi::Arch::ALL;
            all.iter().filter_map(|&arch| kconform_abi::constant(arch, name)).any(small)
        }
        _ => false,
    };
    expr.text.trim_start().starts_with('-') || expr.terms.iter().any(is_small)
}
