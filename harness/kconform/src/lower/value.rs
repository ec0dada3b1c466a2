//! Numbers and names: constants of the target's ABI, and slots for saved values.

use kconform_abi::Endian;
use kconform_plan::Value;

use crate::case::{self, Address, Expr, Term};
use crate::kernel::{Kernel, Unmet};
use crate::limits::{CASE, amount};

/// What a case is lowered for, and the slots that it uses so far.
pub(super) struct Abi<'k> {
    pub(super) kernel: &'k Kernel,
    pub(super) slots: Vec<String>,
    /// Bytes of the buffers so far.
    bytes: u64,
}

impl<'k> Abi<'k> {
    pub(super) fn new(kernel: &'k Kernel) -> Abi<'k> {
        Abi { kernel, slots: Vec::new(), bytes: 0 }
    }

    pub(super) fn big_endian(&self) -> bool {
        self.kernel.arch.endian() == Endian::Big
    }

    /// The slot of a name: one for each name of the case, since processes and threads have slots of their own.
    pub(super) fn slot(&mut self, name: &str) -> u32 {
        let known = self.slots.iter().position(|slot| slot == name);
        known.unwrap_or_else(|| {
            self.slots.push(name.to_owned());
            self.slots.len() - 1
        }) as u32
    }

    /// Counts memory, so that what is larger on this kernel than on others is refused and takes nothing down.
    pub(super) fn reserve(&mut self, bytes: u64) -> Result<(), Unmet> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > CASE { too_large() } else { Ok(()) }
    }

    /// An expression's value.
    pub(super) fn value(&mut self, expr: &Expr) -> Result<Value, Unmet> {
        let mut bits = 0;
        let mut saved = None;
        for term in &expr.terms {
            match term {
                Term::Number(number) => bits |= number,
                Term::Constant(name) => bits |= self.constant(name)?,
                Term::Btf(query) => bits |= self.kernel.btf(query)?,
                Term::Layout(_) | Term::Arithmetic(_) => match term.value(self.kernel.arch, self.page_size())
                {
                    Some(number) => bits |= number,
                    None => return unmet(expr, &format!("is not there on {}", self.kernel.arch)),
                },
                Term::Saved(name) if saved.is_none() => saved = Some(self.slot(name)),
                Term::Saved(_) => return unmet(expr, "has more than one saved value"),
            }
        }
        Ok(saved.map_or(Value::Number(bits), |slot| Value::Slot(slot, bits)))
    }

    /// A size or count, which must be known before the case runs.
    pub(super) fn known(&mut self, expr: &Expr) -> Result<u64, Unmet> {
        match self.value(expr)? {
            Value::Number(number) => Ok(number),
            _ => unmet(expr, "must be known before the case runs"),
        }
    }

    /// A number's bytes, in the target's order.
    pub(super) fn bytes(&self, number: u64, width: u8) -> Vec<u8> {
        let width = usize::from(width.min(8));
        match self.kernel.arch.endian() {
            Endian::Big => number.to_be_bytes()[8 - width..].to_vec(),
            Endian::Little => number.to_le_bytes()[..width].to_vec(),
        }
    }

    /// The value to pass for a pointer to nothing usable.
    pub(super) fn address(&self, address: Address) -> Value {
        match address {
            Address::Null => Value::Number(0),
            Address::Unmapped => Value::Unmapped,
            Address::ReadOnly => Value::ReadOnly,
            Address::Kernel => Value::Number(self.kernel.arch.kernel_address()),
        }
    }

    /// Bytes, where the target says how many.
    fn page_size(&self) -> Option<u64> {
        Some(u64::from(self.kernel.page_size)).filter(|&bytes| bytes > 0)
    }

    /// The value of arithmetic in an instruction, which the file was checked for.
    pub(super) fn pages(&self, text: &str) -> Result<u64, Unmet> {
        let value = case::arithmetic(text, self.kernel.arch, self.page_size());
        value.ok_or_else(|| Unmet { reason: format!("`{text}` has no value on this kernel") })
    }

    fn constant(&self, name: &str) -> Result<u64, Unmet> {
        let arch = self.kernel.arch;
        case::constant(name, arch, self.page_size())
            .ok_or_else(|| Unmet { reason: format!("the constant {name} does not exist on {}", arch.name()) })
    }
}

/// Whether a number can be written in so many bytes, as an unsigned or as a signed one.
pub(super) fn fits(number: u64, width: u32) -> bool {
    let bits = 8 * width.min(8);
    bits == 64 || number >> bits == 0 || (number as i64) >> (bits - 1) == -1
}

/// Refuses what a kernel's CPUs or types make larger than a case may be.
pub(super) fn too_large<T>() -> Result<T, Unmet> {
    let reason = format!("its buffers are too large on this kernel; the most is {}", amount(CASE));
    Err(Unmet { reason })
}

/// Refuses an expression, saying where it stands.
pub(super) fn unmet<T>(expr: &Expr, why: &str) -> Result<T, Unmet> {
    Err(Unmet { reason: format!("`{}` {why} ({})", expr.text, expr.place) })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    #[rstest]
    #[case(255, 1, true)]
    #[case(256, 1, false)]
    #[case(-128i64 as u64, 1, true)]
    #[case(-129i64 as u64, 1, false)]
    #[case(u64::MAX, 4, true)]
    #[case(1 << 32, 4, false)]
    #[case(u64::MAX, 8, true)]
    fn numbers_fit_signed_or_unsigned(#[case] number: u64, #[case] width: u32, #[case] fits: bool) {
        assert_eq!(super::fits(number, width), fits);
    }
}
