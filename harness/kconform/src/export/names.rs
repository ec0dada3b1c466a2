//! Words of C: names that may stand in a C file, texts and comments.

/// Words that no variable may have: of the language, of what the compiler predefines, of ours.
const TAKEN: &[&str] = &[
    "auto",
    "break",
    "case",
    "char",
    "const",
    "continue",
    "default",
    "do",
    "double",
    "else",
    "enum",
    "extern",
    "float",
    "for",
    "goto",
    "if",
    "inline",
    "int",
    "long",
    "register",
    "restrict",
    "return",
    "short",
    "signed",
    "sizeof",
    "static",
    "struct",
    "switch",
    "typedef",
    "union",
    "unsigned",
    "void",
    "volatile",
    "while",
    "asm",
    "typeof",
    "linux",
    "unix",
    "errno",
    "stdin",
    "stdout",
    "stderr",
    "ret",
    "saved",
    "call",
    "ptr",
    "set",
    "put",
    "same",
    "contains",
    "peek",
    "poke",
    "zeroed",
    "page_size",
    "possible_cpus",
    "keep",
    "begin",
    "done",
    "end",
    "capable",
    "config",
    "where",
    "shared",
    "cell",
    "cpu",
    "again",
    "true",
    "false",
    "bool",
    "read_only",
    "moved",
    "number_at",
    "in_ms",
    "say",
    "fail",
    "trouble",
    "until",
    "sys_bpf",
    "run",
    "skip",
    "line",
    "environ",
    "strlen",
    "strcmp",
    "getpid",
    "signal",
    "kill",
];

/// A name as C may have it.
pub(super) fn identifier(name: &str) -> String {
    let plain: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    let begins = plain.starts_with(|c: char| c.is_ascii_digit());
    match (begins, TAKEN.contains(&plain.as_str()) || plain.is_empty()) {
        (true, _) => format!("_{plain}"),
        (false, true) => format!("{plain}_"),
        (false, false) => plain,
    }
}

/// Bytes as a C string.
pub(super) fn literal(bytes: &[u8]) -> String {
    let mut text = String::from("\"");
    for &byte in bytes {
        match byte {
            b'"' | b'\\' => text.extend(['\\', byte as char]),
            b'\n' => text.push_str("\\n"),
            b'\t' => text.push_str("\\t"),
            // `??=` and its like are other characters for some compilers.
            b'?' => text.push_str("\\?"),
            0x20..=0x7e => text.push(byte as char),
            other => text.push_str(&format!("\\{other:03o}")),
        }
    }
    text.push('"');
    text
}

/// Text as a format of printf(3) that prints it.
pub(super) fn format_of(text: &str) -> String {
    text.replace('%', "%%")
}

/// Text that may stand in a comment.
pub(super) fn comment(text: &str) -> String {
    text.replace("*/", "* /").replace("/*", "/ *")
}

/// The words of a text, in lines of at most so many characters.
pub(super) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let Some(last) = lines.last_mut() else { break };
        if last.is_empty() {
            last.push_str(word);
        } else if last.chars().count() + 1 + word.chars().count() <= width {
            last.push(' ');
            last.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

/// The identifiers of C code, without those in comments, texts and behind `.` or `->`.
pub(super) fn identifiers(code: &str) -> Vec<&str> {
    let bytes = code.as_bytes();
    let is_word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &code[at..];
        if rest.starts_with("/*") {
            at += rest.find("*/").map_or(rest.len(), |end| end + 2);
        } else if bytes[at] == b'"' || bytes[at] == b'\'' {
            let quote = bytes[at];
            at += 1;
            while at < bytes.len() && bytes[at] != quote {
                at += if bytes[at] == b'\\' { 2 } else { 1 };
            }
            at += 1;
        } else if is_word(bytes[at]) {
            let end = bytes[at..].iter().position(|&b| !is_word(b)).map_or(bytes.len(), |n| at + n);
            let member = at > 0 && (bytes[at - 1] == b'.' || code[..at].ends_with("->"));
            if !bytes[at].is_ascii_digit() && !member {
                found.push(&code[at..end]);
            }
            at = end;
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    found
}
