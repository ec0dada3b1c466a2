//! Values as strace prints them.

use super::decode::number_of;

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// A number, an address or constants.
    Number(u64),
    /// Bytes in quotes; `cut`: not all of them.
    Text {
        /// The bytes.
        bytes: Vec<u8>,
        /// There were more.
        cut: bool,
    },
    /// `{name=value, …}`; a value without a name has an empty one.
    Struct {
        /// The members.
        members: Vec<(String, Said)>,
        /// There were more.
        cut: bool,
    },
    /// `[value, …]`
    List {
        /// The values.
        items: Vec<Said>,
        /// There were more.
        cut: bool,
    },
    /// Something else: words.
    Other(String),
}

impl Said {
    pub(super) fn number(&self) -> Option<u64> {
        if let Said::Number(number) = self { Some(*number) } else { None }
    }
}

/// Reads values from the beginning of a text.
#[derive(Debug)]
pub(super) struct Reader<'t> {
    rest: &'t str,
}

impl<'t> Reader<'t> {
    pub(super) fn new(rest: &'t str) -> Reader<'t> {
        Reader { rest }
    }

    pub(super) fn rest(&self) -> &'t str {
        self.rest
    }

    fn take(&mut self, token: &str) -> bool {
        self.skip();
        let found = self.rest.strip_prefix(token);
        self.rest = found.unwrap_or(self.rest);
        found.is_some()
    }

    /// Blanks and comments.
    fn skip(&mut self) {
        loop {
            self.rest = self.rest.trim_start();
            let Some(comment) = self.rest.strip_prefix("/*") else { return };
            self.rest = comment.split_once("*/").map_or("", |(_, behind)| behind);
        }
    }

    fn while_in(&mut self, good: impl Fn(char) -> bool) -> &'t str {
        let end = self.rest.find(|c| !good(c)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }

    /// The arguments of a call, from behind its opening parenthesis to behind the closing one; `None` if there is none.
    pub(super) fn arguments(&mut self) -> Option<Vec<Said>> {
        let mut all = Vec::new();
        if self.take(")") {
            return Some(all);
        }
        loop {
            // `flags=CLONE_VM`
            let named = self.rest.trim_start().split_once('=').filter(|(name, _)| is_name(name));
            if let Some((_, value)) = named {
                self.rest = value;
            }
            all.push(self.value()?);
            match () {
                () if self.take(")") => return Some(all),
                () if self.take(",") => {}
                () => return None,
            }
        }
    }

    /// A value, and after `=>` the one that came back in its place.
    fn value(&mut self) -> Option<Said> {
        let before = self.plain()?;
        if self.take("=>") { self.plain() } else { Some(before) }
    }

    fn plain(&mut self) -> Option<Said> {
        self.skip();
        Some(match self.rest.chars().next()? {
            '"' => {
                let bytes = self.quoted()?;
                let cut = self.take("...");
                Said::Text { bytes, cut }
            }
            '{' => self.members()?,
            '[' | '~' => self.items()?,
            _ => self.word()?,
        })
    }

    fn members(&mut self) -> Option<Said> {
        self.take("{").then_some(())?;
        let (mut members, mut cut) = (Vec::new(), false);
        while !self.take("}") {
            if self.take("...") {
                cut = true;
            } else {
                self.skip();
                let name = self.rest.split_once('=').filter(|(name, _)| is_name(name));
                let name = name.map(|(name, rest)| {
                    self.rest = rest;
                    name.to_owned()
                });
                members.push((name.unwrap_or_default(), self.value()?));
            }
            self.take(",");
        }
        Some(Said::Struct { members, cut })
    }

    fn items(&mut self) -> Option<Said> {
        self.take("~");
        self.take("[").then_some(())?;
        let (mut items, mut cut) = (Vec::new(), false);
        while !self.take("]") {
            if self.take("...") {
                cut = true;
            } else {
                items.push(self.value()?);
            }
            self.take(",");
        }
        Some(Said::List { items, cut })
    }

    /// Bytes in quotes, as C writes them.
    fn quoted(&mut self) -> Option<Vec<u8>> {
        let text = self.rest.strip_prefix('"')?;
        let (mut bytes, mut at) = (Vec::new(), text.bytes().enumerate().peekable());
        while let Some((nth, byte)) = at.next() {
            match byte {
                b'"' => {
                    self.rest = &text[nth + 1..];
                    return Some(bytes);
                }
                b'\\' => bytes.push(escaped(&mut at)?),
                byte => bytes.push(byte),
            }
        }
        None
    }

    /// Numbers, constants with `|` between them, and what looks like a call: `KERNEL_VERSION(6, 1, 0)`.
    fn word(&mut self) -> Option<Said> {
        let begun = self.rest;
        let mut number = Some(0);
        loop {
            self.skip();
            let word = self.while_in(|c| c.is_ascii_alphanumeric() || "_-+.?*@:".contains(c));
            if word.is_empty() {
                return None;
            }
            let value = if self.rest.starts_with('(') { self.function(word)? } else { numeral(word) };
            number = number.zip(value).map(|(all, one)| all | one);
            self.annotation();
            if self.take("<<") {
                number =
                    number.zip(numeral(self.while_in(|c| c.is_ascii_digit()))).map(|(n, by)| n << (by & 63));
            }
            if !self.take("|") {
                break;
            }
        }
        let words = begun[..begun.len() - self.rest.len()].trim();
        Some(number.map_or_else(|| Said::Other(words.to_owned()), Said::Number))
    }

    /// What stands behind a function's name; `None` for the whole where it does not end.
    fn function(&mut self, name: &str) -> Option<Option<u64>> {
        self.take("(");
        let arguments = self.arguments()?;
        let numbers: Vec<u64> = arguments.iter().filter_map(Said::number).collect();
        Some(match (name, numbers.as_slice()) {
            ("KERNEL_VERSION", [major, minor, patch]) => Some(major << 16 | minor << 8 | patch),
            _ => None,
        })
    }

    /// `3</sys/fs/cgroup>`, as strace -y has it: what an fd is.
    fn annotation(&mut self) {
        if !self.rest.starts_with('<') || self.rest.starts_with("<<") {
            return;
        }
        let mut depth = 0;
        for (at, c) in self.rest.char_indices() {
            match c {
                '<' => depth += 1,
                '>' if !self.rest[..at].ends_with('-') => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                self.rest = &self.rest[at + 1..];
                return;
            }
        }
    }
}

fn is_name(word: &str) -> bool {
    !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// The byte of an escape, behind its backslash.
fn escaped(at: &mut std::iter::Peekable<impl Iterator<Item = (usize, u8)>>) -> Option<u8> {
    let (_, kind) = at.next()?;
    let mut digits = |radix: u32, most: usize, begun: u32| {
        let mut value = begun;
        for _ in 0..most {
            let digit = at.peek().and_then(|(_, byte)| char::from(*byte).to_digit(radix));
            let Some(digit) = digit else { break };
            value = value * radix + digit;
            at.next();
        }
        u8::try_from(value).ok()
    };
    match kind {
        b'x' => digits(16, 2, 0),
        b'0'..=b'7' => digits(8, 2, u32::from(kind - b'0')),
        b'n' => Some(b'\n'),
        b't' => Some(b'\t'),
        b'r' => Some(b'\r'),
        b'v' => Some(11),
        b'f' => Some(12),
        other => Some(other),
    }
}

/// A number in decimal, octal or hexadecimal, or a constant.
fn numeral(word: &str) -> Option<u64> {
    if word == "NULL" {
        return Some(0);
    }
    let (negative, digits) = word.strip_prefix('-').map_or((false, word), |digits| (true, digits));
    let number = match digits.strip_prefix("0x") {
        Some(hexadecimal) => u64::from_str_radix(hexadecimal, 16).ok(),
        None if digits.len() > 1 && digits.starts_with('0') => u64::from_str_radix(digits, 8).ok(),
        None => digits.parse().ok(),
    };
    let number = number.map(|number: u64| if negative { number.wrapping_neg() } else { number });
    number.or_else(|| number_of(word))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn text(bytes: &[u8]) -> Said {
        Said::Text { bytes: bytes.to_vec(), cut: false }
    }

    #[rstest]
    #[case("0x1f", Said::Number(31))]
    #[case("0644", Said::Number(0o644))]
    #[case("-1", Said::Number(u64::MAX))]
    #[case("NULL", Said::Number(0))]
    #[case("BPF_F_NO_PREALLOC|BPF_F_RDONLY|0x10000", Said::Number(1 | 8 | 0x10000))]
    #[case("BPF_JMP|BPF_K|BPF_EXIT", Said::Number(0x95))]
    #[case("0x63 /* BPF_MAP_TYPE_??? */", Said::Number(0x63))]
    #[case("KERNEL_VERSION(6, 1, 2)", Said::Number(0x60102))]
    #[case("3</sys/fs/cgroup>", Said::Number(3))]
    #[case("4<anon_inode:[eventpoll]>", Said::Number(4))]
    #[case("if_nametoindex(\"lo\")", Said::Other("if_nametoindex(\"lo\")".into()))]
    #[case("BPF_NOBODY_KNOWS", Said::Other("BPF_NOBODY_KNOWS".into()))]
    #[case("80 => 68", Said::Number(68))]
    #[case(r#""\x47P\114\0""#, text(b"GPL\0"))]
    #[case(r#""a\"\\\n"..."#, Said::Text { bytes: b"a\"\\\n".to_vec(), cut: true })]
    #[case("[3]", Said::List { items: vec![Said::Number(3)], cut: false })]
    #[case("[3, ...]", Said::List { items: vec![Said::Number(3)], cut: true })]
    fn values_are_read(#[case] written: &str, #[case] wanted: Said) {
        let all = format!("{written}) = 0");
        let mut reader = Reader::new(&all);
        assert_eq!(reader.arguments(), Some(vec![wanted]));
        assert_eq!(reader.rest(), " = 0");
    }

    #[test]
    fn structures_are_read() {
        let written =
            "{map_fd=3</x>, test={retval=7 /* so */, ...}, /* bytes 64..65 */ \"\\x01\\x00\"}, flags=5)";
        let arguments = Reader::new(written).arguments().expect("arguments");
        let test = Said::Struct { members: vec![("retval".into(), Said::Number(7))], cut: true };
        let members = vec![
            ("map_fd".to_owned(), Said::Number(3)),
            ("test".to_owned(), test),
            (String::new(), text(&[1, 0])),
        ];
        assert_eq!(arguments, [Said::Struct { members, cut: false }, Said::Number(5)]);
    }

    #[rstest]
    #[case("1, 2")]
    #[case("{a=1")]
    #[case("\"abc")]
    #[case("[1, 2")]
    #[case("f(1")]
    fn what_does_not_end_is_no_value(#[case] written: &str) {
        assert_eq!(Reader::new(written).arguments(), None);
    }
}
