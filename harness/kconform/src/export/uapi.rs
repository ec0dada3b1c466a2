//! Structures, of the uapi headers and of the kernel's own types, member by member.

use kconform_abi::{Arch, Member, MemberKind, structure};
use kconform_plan::BtfQuery;

use crate::case::{Arg, Piece, PieceKind};
use crate::place::Placed;

use super::memory::Builder;
use super::outputs::Part;
use super::state::Export;
use super::{ExportError, uncovered};

impl Export<'_> {
    /// A structure of the kernel's own: zeros as large as its BTF says, then the members where it says.
    pub(super) fn put_kernel_struct(
        &mut self,
        to: &mut Builder,
        size: &BtfQuery,
        members: &[(BtfQuery, Piece)],
    ) -> Result<(), ExportError> {
        let var = to.var.clone();
        let base = self.local("structure");
        let size = self.btf(size);
        self.out.line(&format!("size_t {base} = {var}.size;"));
        self.out.line(&format!("pad_to(&{var}, {base} + {size});"));
        for (query, piece) in members {
            if piece.name.is_some() {
                return uncovered(&piece.place, "a named member of a structure of the kernel");
            }
            let offset = self.btf(query);
            self.write_at(&format!("{var}.data + {base} + {offset}"), &Arg::Buffer(piece.clone()), 8)?;
        }
        to.at = None;
        Ok(())
    }

    /// A structure of the uapi headers, as each architecture lays it out.
    pub(super) fn put_uapi(
        &mut self,
        to: &mut Builder,
        name: &str,
        written: &[(Placed<String>, Placed<Arg>)],
    ) -> Result<(), ExportError> {
        let var = to.var.clone();
        let base = match to.at {
            Some(at) => at.to_string(),
            None => {
                let base = self.local("structure");
                self.out.line(&format!("size_t {base} = {var}.size;"));
                base
            }
        };
        let on = |arch: Arch| structure(arch, name);
        let size = self.per_arch(&format!("SIZEOF_{name}"), |arch| on(arch).map(|known| known.size.into()));
        self.out.line(&format!("pad_to(&{var}, {base} + {size}); /* struct {name} */"));
        let mut bits: Vec<(String, u64, String)> = Vec::new();
        for (key, value) in written {
            let member = |arch: Arch| on(arch).and_then(|known| known.member(&key.value));
            let all: Vec<&Member> = Arch::ALL.iter().filter_map(|&arch| member(arch)).collect();
            let Some(first) = all.first() else {
                return uncovered(&key.place, "this");
            };
            if all.iter().any(|other| other.size != first.size) && !matches!(value.value, Arg::Buffer(_)) {
                return uncovered(&key.place, "this");
            }
            let offset = self.per_arch(&format!("OFFSET_{name}_{}", key.value), |arch| {
                member(arch).map(|m| m.offset.into())
            });
            if let MemberKind::Bits { .. } = first.kind {
                let Arg::Expr(expr) = &value.value else {
                    return uncovered(&value.place, "this");
                };
                let shift = self.per_arch(&format!("SHIFT_{name}_{}", key.value), |arch| {
                    member(arch).map(|m| m.shift(arch).into())
                });
                let number = self.expr(expr)?;
                let term = format!("(__u64)({number}) << {shift}");
                match bits.iter_mut().find(|(at, width, _)| *at == offset && *width == u64::from(first.size))
                {
                    Some((_, _, all)) => *all = format!("{all} | {term}"),
                    None => bits.push((offset, first.size.into(), term)),
                }
                continue;
            }
            let at = format!("{var}.data + {base} + {offset}");
            match &value.value {
                // What a member points to has a buffer of its own, which `write_at` does not make.
                Arg::Buffer(piece @ Piece { kind: PieceKind::AddrOf(_), .. }) => {
                    let (data, size, _) = self.compared(piece)?;
                    self.out.line(&format!("memcpy({at}, {data}, {size});"));
                }
                Arg::Buffer(inner) if inner.name.is_some() => {
                    self.write_at(&at, &value.value, first.size.min(8).into())?;
                    let known = self.size_of(inner)?;
                    let size = known.map_or_else(|| first.size.to_string(), |size| size.to_string());
                    let names = inner.name.iter().map(|name| name.value.clone()).collect();
                    self.inner.push(Part { names, data: at, size, known, number: None });
                }
                other => {
                    self.write_at(&at, other, first.size.min(8).into())?;
                }
            }
        }
        for (offset, width, value) in bits {
            self.out.line(&format!("set({var}.data + {base} + {offset}, {width}, {value});"));
        }
        let known = structure(Arch::X86_64, name)
            .map(|known| u64::from(known.size))
            .filter(|_| size.bytes().all(|b| b.is_ascii_hexdigit() || b == b'x'));
        to.at = to.at.zip(known).map(|(at, size)| at + size);
        Ok(())
    }
}
