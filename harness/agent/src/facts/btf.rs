//! Looks types up in the kernel's own BTF (Documentation/bpf/btf.rst).

use std::ffi::CStr;

use kconform_plan::{BtfAnswer, BtfQuery, BtfWant};

use crate::sys;

/// The types of the kernel itself, without those of its modules.
const VMLINUX: &CStr = c"/sys/kernel/btf/vmlinux";

/// `BTF_MAGIC` of include/uapi/linux/btf.h.
const MAGIC: u16 = 0xeb9f;

/// Unnamed members within unnamed members, before it must be a circle.
const MAX_NESTING: u32 = 32;

// Kinds of include/uapi/linux/btf.h.
const INT: u8 = 1;
const ARRAY: u8 = 3;
const STRUCT: u8 = 4;
const UNION: u8 = 5;
const ENUM: u8 = 6;
const TYPEDEF: u8 = 8;
const VOLATILE: u8 = 9;
const CONST: u8 = 10;
const FUNC_PROTO: u8 = 13;
const VAR: u8 = 14;
const DATASEC: u8 = 15;
const DECL_TAG: u8 = 17;
const TYPE_TAG: u8 = 18;
const ENUM64: u8 = 19;

/// Answers questions, in their order. The file is read anew each time, and nothing of it is kept.
pub(crate) fn answers(queries: &[BtfQuery]) -> Vec<BtfAnswer> {
    let size = sys::stat_following(VMLINUX).map_or(0, |stat| stat.st_size as usize);
    let file = sys::read_file_of(&VMLINUX.to_string_lossy(), size).unwrap_or_default();
    let Some(btf) = Btf::read(&file) else { return vec![BtfAnswer::NoBtf; queries.len()] };
    btf.answers(queries)
}

/// BTF taken apart.
struct Btf<'a> {
    types: &'a [u8],
    strings: &'a [u8],
    /// Where each type begins in `types`; that of id 1 comes first.
    starts: Vec<u32>,
}

/// A type without what follows it.
#[derive(Clone, Copy)]
struct Type {
    name: u32,
    kind: u8,
    /// `kind_flag`: offsets of members hold the size of bit fields too.
    flag: bool,
    vlen: usize,
    /// `size` or `type`.
    size: u32,
    /// Where what follows it begins.
    rest: usize,
}

/// A member of a structure or union.
struct Member<'a> {
    name: &'a [u8],
    type_id: u32,
    bits: u32,
}

impl<'a> Btf<'a> {
    fn read(file: &'a [u8]) -> Option<Btf<'a>> {
        let magic = file.get(..2)?.try_into().ok().map(u16::from_ne_bytes)?;
        let [header, types, types_length, strings, strings_length] =
            [4, 8, 12, 16, 20].map(|at| word(file, at).map(|n| n as usize));
        if magic != MAGIC {
            return None;
        }
        let header = header?;
        let part = |offset: usize, length: usize| {
            let start = header.checked_add(offset)?;
            file.get(start..start.checked_add(length)?)
        };
        let (types, strings) = (part(types?, types_length?)?, part(strings?, strings_length?)?);
        // No type takes less than 12 bytes.
        let starts = Vec::with_capacity(types.len() / 12);
        let mut btf = Btf { types, strings, starts };
        let mut at = 0;
        while at < types.len() {
            let next = btf.parse(at)?;
            btf.starts.push(at as u32);
            at = next.rest.checked_add(rest(next)?)?;
        }
        Some(btf)
    }

    fn parse(&self, at: usize) -> Option<Type> {
        let info = word(self.types, at + 4)?;
        Some(Type {
            name: word(self.types, at)?,
            kind: (info >> 24 & 0x1f) as u8,
            flag: info >> 31 == 1,
            vlen: (info & 0xffff) as usize,
            size: word(self.types, at + 8)?,
            rest: at + 12,
        })
    }

    fn by_id(&self, id: u32) -> Option<Type> {
        self.parse(*self.starts.get(id.checked_sub(1)? as usize)? as usize)
    }

    /// The string at an offset, without its NUL.
    fn string(&self, offset: u32) -> &'a [u8] {
        let rest = self.strings.get(offset as usize..).unwrap_or_default();
        &rest[..rest.iter().position(|&b| b == 0).unwrap_or(rest.len())]
    }

    /// Whether the string at an offset is this one. Most differ in their first bytes: no end is looked for.
    fn is(&self, offset: u32, name: &[u8]) -> bool {
        let rest = self.strings.get(offset as usize..).unwrap_or_default();
        rest.starts_with(name) && rest.get(name.len()) == Some(&0)
    }

    fn answers(&self, queries: &[BtfQuery]) -> Vec<BtfAnswer> {
        let mut found: Vec<Option<u32>> = vec![None; queries.len()];
        for (&start, id) in self.starts.iter().zip(1..) {
            let Some(a_type) = self.parse(start as usize) else { continue };
            for (query, found) in queries.iter().zip(&mut found) {
                // As the kernel's btf_find_by_name_kind(): the first one counts.
                if found.is_none() && query.kind == a_type.kind && self.is(a_type.name, query.name.as_bytes())
                {
                    *found = Some(id);
                }
            }
        }
        let answer = |(query, id): (&BtfQuery, Option<u32>)| match id {
            Some(id) => self.answer(id, &query.want),
            None => BtfAnswer::NoType,
        };
        queries.iter().zip(found).map(answer).collect()
    }

    fn answer(&self, id: u32, want: &BtfWant) -> BtfAnswer {
        let Some(a_type) = self.by_id(id) else { return BtfAnswer::NoType };
        match want {
            BtfWant::Id => BtfAnswer::Number(id),
            BtfWant::Size => BtfAnswer::Number(a_type.size),
            BtfWant::Index(name) => {
                let nth = self.members(a_type).position(|member| member.name == name.as_bytes());
                nth.map_or(BtfAnswer::NoMember, |nth| BtfAnswer::Number(nth as u32))
            }
            BtfWant::Offset(path) => match self.bits(id, path) {
                None => BtfAnswer::NoMember,
                Some(bits) if bits % 8 != 0 => BtfAnswer::BitField,
                Some(bits) => BtfAnswer::Number(bits / 8),
            },
        }
    }

    /// The offset in bits of `a.b`.
    fn bits(&self, mut id: u32, path: &str) -> Option<u32> {
        let mut bits = 0_u32;
        for name in path.split('.') {
            let (type_id, more) = self.member(id, name.as_bytes(), MAX_NESTING)?;
            bits = bits.checked_add(more)?;
            id = type_id;
        }
        Some(bits)
    }

    /// A member's type and its offset in bits; it may be one of an unnamed member's.
    fn member(&self, id: u32, name: &[u8], nesting: u32) -> Option<(u32, u32)> {
        let a_type = self.plain(id)?;
        let own = self.members(a_type).find(|member| member.name == name);
        if let Some(own) = own {
            return Some((own.type_id, own.bits));
        }
        let deeper = nesting.checked_sub(1)?;
        self.members(a_type).filter(|member| member.name.is_empty()).find_map(|unnamed| {
            let (type_id, bits) = self.member(unnamed.type_id, name, deeper)?;
            Some((type_id, bits.checked_add(unnamed.bits)?))
        })
    }

    /// A type without typedefs and qualifiers.
    fn plain(&self, mut id: u32) -> Option<Type> {
        for _ in 0..MAX_NESTING {
            let a_type = self.by_id(id)?;
            if !matches!(a_type.kind, TYPEDEF | VOLATILE | CONST | TYPE_TAG) {
                return Some(a_type);
            }
            id = a_type.size;
        }
        None
    }

    fn members(&self, a_type: Type) -> impl Iterator<Item = Member<'a>> {
        let count = if matches!(a_type.kind, STRUCT | UNION) { a_type.vlen } else { 0 };
        (0..count).map_while(move |nth| {
            let at = a_type.rest + 12 * nth;
            let offset = word(self.types, at + 8)?;
            Some(Member {
                name: self.string(word(self.types, at)?),
                type_id: word(self.types, at + 4)?,
                bits: if a_type.flag { offset & 0x00ff_ffff } else { offset },
            })
        })
    }
}

/// The bytes that follow a type's first 12; `None` for a kind that is not known, behind which nothing can be read.
fn rest(a_type: Type) -> Option<usize> {
    match a_type.kind {
        INT | VAR | DECL_TAG => Some(4),
        ARRAY => Some(12),
        STRUCT | UNION | DATASEC | ENUM64 => Some(12 * a_type.vlen),
        ENUM | FUNC_PROTO => Some(8 * a_type.vlen),
        // PTR, FWD, TYPEDEF, VOLATILE, CONST, RESTRICT, FUNC, FLOAT, TYPE_TAG
        2 | 7..=12 | 16 | 18 => Some(0),
        _ => None,
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at.checked_add(4)?)?.try_into().ok().map(u32::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// BTF of these types; names are `'a'` to `'z'`, by letter.
    fn file(types: &[u32]) -> Vec<u8> {
        let strings: Vec<u8> = std::iter::once(0).chain((b'a'..=b'z').flat_map(|c| [c, 0])).collect();
        let words = [24, 0, 4 * types.len() as u32, 4 * types.len() as u32, strings.len() as u32];
        let mut file = [&MAGIC.to_ne_bytes()[..], &[1, 0]].concat();
        words.iter().chain(types).for_each(|word| file.extend(word.to_ne_bytes()));
        file.extend(strings);
        file
    }

    /// The offset of a letter's name; 0 is no name.
    const fn name(letter: char) -> u32 {
        2 * (letter as u32 - 'a' as u32) + 1
    }

    fn info(kind: u8, vlen: u32) -> u32 {
        u32::from(kind) << 24 | vlen
    }

    fn types() -> Vec<u32> {
        let flag = 1 << 31;
        [
            // 1: int i
            &[name('i'), info(INT, 0), 4, 32][..],
            // 2: union { int u; int v; }
            &[0, info(UNION, 2), 4, name('u'), 1, 0, name('v'), 1, 0],
            // 3: struct s { int a; union {…}; int b:3; int c:5; }
            &[name('s'), info(STRUCT, 4) | flag, 12],
            &[name('a'), 1, 0, 0, 2, 32, name('b'), 1, 3 << 24 | 64, name('c'), 1, 5 << 24 | 67],
            // 4: typedef struct s t
            &[name('t'), info(TYPEDEF, 0), 3],
            // 5: struct o { int a; t s; }
            &[name('o'), info(STRUCT, 2), 16, name('a'), 1, 0, name('s'), 4, 32],
            // 6: a function f, 7: a second struct s
            &[name('f'), info(12, 0), 1, name('s'), info(STRUCT, 0), 0],
        ]
        .concat()
    }

    fn ask(kind: u8, name: &str, want: BtfWant) -> BtfAnswer {
        let file = file(&types());
        let query = BtfQuery { kind, name: name.into(), want };
        Btf::read(&file).expect("it is BTF").answers(&[query])[0]
    }

    #[test]
    fn types_are_found_by_kind_and_name() {
        assert_eq!(ask(INT, "i", BtfWant::Id), BtfAnswer::Number(1));
        assert_eq!(ask(STRUCT, "s", BtfWant::Id), BtfAnswer::Number(3));
        assert_eq!(ask(STRUCT, "s", BtfWant::Size), BtfAnswer::Number(12));
        assert_eq!(ask(TYPEDEF, "t", BtfWant::Id), BtfAnswer::Number(4));
        assert_eq!(ask(12, "f", BtfWant::Id), BtfAnswer::Number(6));
        assert_eq!(ask(STRUCT, "f", BtfWant::Id), BtfAnswer::NoType);
        assert_eq!(ask(STRUCT, "", BtfWant::Id), BtfAnswer::NoType);
    }

    #[test]
    fn members_are_found_where_c_has_them() {
        let offset = |of: &str, path: &str| ask(STRUCT, of, BtfWant::Offset(path.into()));
        assert_eq!(offset("s", "a"), BtfAnswer::Number(0));
        assert_eq!(offset("s", "v"), BtfAnswer::Number(4), "of the unnamed union");
        assert_eq!(offset("s", "b"), BtfAnswer::Number(8), "a bit field at a byte's start");
        assert_eq!(offset("s", "c"), BtfAnswer::BitField);
        assert_eq!(offset("s", "d"), BtfAnswer::NoMember);
        assert_eq!(offset("o", "s.u"), BtfAnswer::Number(8), "through a typedef");
        assert_eq!(offset("o", "a.u"), BtfAnswer::NoMember, "an int has no members");
    }

    #[test]
    fn members_are_counted_with_the_unnamed() {
        let index = |path: &str| ask(STRUCT, "s", BtfWant::Index(path.into()));
        assert_eq!(index("a"), BtfAnswer::Number(0));
        assert_eq!(index("c"), BtfAnswer::Number(3));
        assert_eq!(index("u"), BtfAnswer::NoMember);
    }

    #[test]
    fn what_is_no_btf_is_refused() {
        let whole = file(&types());
        for length in 0..whole.len() {
            assert!(Btf::read(&whole[..length]).is_none(), "{length} bytes");
        }
        assert!(Btf::read(&file(&[name('x'), info(31, 0), 0])).is_none(), "an unknown kind");
    }
}
