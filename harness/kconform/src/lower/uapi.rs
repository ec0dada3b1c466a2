//! Structures of the kernel's uapi headers, as an architecture lays them out.

use kconform_abi::{Member, MemberKind, structure};
use kconform_plan::{Piece, Value};

use super::buffer::{Memory, Pieces, size};
use super::value::{Abi, unmet};
use crate::case::Arg;
use crate::kernel::Unmet;
use crate::place::Placed;

impl Memory {
    /// A structure: its members at their places, zeros elsewhere.
    pub(super) fn uapi(
        &mut self,
        abi: &mut Abi<'_>,
        to: &mut Pieces,
        name: &str,
        written: &[(Placed<String>, Placed<Arg>)],
    ) -> Result<(), Unmet> {
        let arch = abi.kernel.arch;
        let lacks = |what: String| Unmet { reason: format!("{what} on {arch}") };
        let known = structure(arch, name).ok_or_else(|| lacks(format!("there is no struct {name}")))?;
        let mut members: Vec<(&'static Member, &Placed<Arg>)> = Vec::new();
        for (key, value) in written {
            let member = known.member(&key.value);
            let member = member.ok_or_else(|| lacks(format!("struct {name} has no member {}", key.value)))?;
            members.push((member, value));
        }
        members.sort_by_key(|(member, _)| (member.bits().start, member.bits().end));
        let no_room = |value: &Placed<Arg>| {
            let reason = format!("struct {name} has no room for this on {arch} ({})", value.place);
            Unmet { reason }
        };
        let mut at = 0;
        let mut rest = members.as_slice();
        while let Some((member, value)) = rest.first().copied() {
            let ahead = u64::from(member.offset).checked_sub(at).ok_or_else(|| no_room(value))?;
            self.gap(to, ahead)?;
            at = u64::from(member.offset + member.size);
            if matches!(member.kind, MemberKind::Bits { .. }) {
                let same = |(other, _): &&(&Member, _)| {
                    matches!(other.kind, MemberKind::Bits { .. })
                        && (other.offset, other.size) == (member.offset, member.size)
                };
                let (bits, others) = rest.split_at(rest.iter().take_while(same).count());
                self.bits(abi, to, member.size as u8, bits)?;
                rest = others;
                continue;
            }
            let first = to.open();
            self.member(abi, to, member, &value.value)?;
            let bytes = to.size_from(first).ok_or_else(|| no_room(value))?;
            let behind = u64::from(member.size).checked_sub(bytes).ok_or_else(|| no_room(value))?;
            self.gap(to, behind)?;
            rest = &rest[1..];
        }
        self.gap(to, u64::from(known.size).saturating_sub(at))
    }

    fn member(
        &mut self,
        abi: &mut Abi<'_>,
        to: &mut Pieces,
        member: &Member,
        value: &Arg,
    ) -> Result<(), Unmet> {
        let width = member.size.min(8) as u8;
        match value {
            Arg::Expr(expr) => {
                let number = self.number(abi, expr, width)?;
                to.push(number);
            }
            Arg::Address(address) => {
                self.reserve(width.into())?;
                to.push(match abi.address(*address) {
                    Value::Number(number) => Piece::Bytes(abi.bytes(number, width)),
                    value => Piece::Value { value, width, shift: 0 },
                });
            }
            Arg::Buffer(piece) => self.write(abi, to, piece)?,
        }
        Ok(())
    }

    /// A number of which some bits are written; the others are 0.
    fn bits(
        &mut self,
        abi: &mut Abi<'_>,
        to: &mut Pieces,
        width: u8,
        members: &[(&'static Member, &Placed<Arg>)],
    ) -> Result<(), Unmet> {
        let mut number = 0;
        for (member, value) in members {
            let (MemberKind::Bits { count, .. }, Arg::Expr(expr)) = (member.kind, &value.value) else {
                continue;
            };
            let value = abi.known(expr)?;
            if value.checked_shr(count.into()).unwrap_or(0) != 0 {
                return unmet(expr, &format!("does not fit into {} bits", count));
            }
            number |= value << member.shift(abi.kernel.arch);
        }
        self.reserve(width.into())?;
        to.push(Piece::Bytes(abi.bytes(number, width)));
        Ok(())
    }
}

impl Pieces {
    /// What follows may not grow what is there; where it begins.
    fn open(&mut self) -> usize {
        self.close();
        self.list.len()
    }

    /// The bytes of the pieces from there on, when that is known beforehand.
    fn size_from(&self, first: usize) -> Option<u64> {
        size(&self.list[first..])
    }
}
