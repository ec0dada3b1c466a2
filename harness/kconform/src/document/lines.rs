//! Text of kernels and cases as lines that any terminal and any program can take.

/// Control characters as `\x1b`, and what no XML and no YAML may hold as `\ufffe`; what ends a line ends one here, too.
pub(crate) fn lines(text: &str) -> Vec<String> {
    text.lines().map(|line| line.chars().fold(String::new(), shown)).collect()
}

/// The same on one line.
pub(crate) fn one_line(text: &str) -> String {
    lines(text).join(" ")
}

fn shown(mut line: String, c: char) -> String {
    match c {
        '\t' => line.push(' '),
        c if c.is_control() => line.push_str(&format!("\\x{:02x}", u32::from(c))),
        '\u{fffe}' | '\u{ffff}' => line.push_str(&format!("\\u{:04x}", u32::from(c))),
        c => line.push(c),
    }
    line
}
