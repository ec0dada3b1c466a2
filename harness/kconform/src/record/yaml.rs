//! Values as a case file has them, broken into lines.

/// Characters of the longest line.
const WIDTH: usize = 120;

/// A value of YAML in its flow form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// As it is written: a number, a constant, `$map`.
    Word(String),
    /// A text, quoted if it must be.
    Text(String),
    /// Words with blanks between them, at which a line may end: the bytes of `hex`.
    Words(Vec<String>),
    /// `[a, b]`
    List(Vec<Value>),
    /// `{a: b}`
    Map(Vec<(String, Value)>),
}

impl Value {
    pub(crate) fn word(word: impl Into<String>) -> Value {
        Value::Word(word.into())
    }

    /// `{key: value}`
    pub(crate) fn one(key: &str, value: Value) -> Value {
        Value::Map(vec![(key.to_owned(), value)])
    }

    /// What no line may end within.
    fn tokens(&self) -> Vec<String> {
        match self {
            Value::Word(word) => vec![word.clone()],
            Value::Text(text) => vec![quoted(text)],
            Value::Words(words) => words.clone(),
            Value::List(values) => within("[", "]", values.iter().map(Value::tokens)),
            Value::Map(entries) => within(
                "{",
                "}",
                entries.iter().map(|(key, value)| {
                    let mut tokens = value.tokens();
                    tokens[0].insert_str(0, &format!("{key}: "));
                    tokens
                }),
            ),
        }
    }
}

fn within(open: &str, close: &str, values: impl Iterator<Item = Vec<String>>) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for tokens in values {
        if let Some(last) = all.last_mut() {
            last.push(',');
        }
        all.extend(tokens);
    }
    if all.is_empty() {
        return vec![format!("{open}{close}")];
    }
    all[0].insert_str(0, open);
    if let Some(last) = all.last_mut() {
        last.push_str(close);
    }
    all
}

/// `- key: value` or `key: value`, in lines that are not too long.
pub(crate) fn lines(indent: usize, start: &str, value: &Value) -> String {
    let mut out = String::new();
    let mut line = format!("{}{start}", " ".repeat(indent));
    let mut is_first = true;
    for token in value.tokens() {
        if !is_first && line.chars().count() + 1 + token.chars().count() > WIDTH {
            out.push_str(&line);
            out.push('\n');
            line = " ".repeat(indent + 4);
            line.push_str(&token);
        } else {
            line.push(' ');
            line.push_str(&token);
        }
        is_first = false;
    }
    out.push_str(&line);
    out.push('\n');
    out
}

/// A comment in lines that are not too long.
pub(crate) fn comment(indent: usize, text: &str) -> String {
    let mut out = String::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() && indent + 3 + line.chars().count() + word.chars().count() > WIDTH {
            out.push_str(&format!("{}# {line}\n", " ".repeat(indent)));
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    out + &format!("{}# {line}\n", " ".repeat(indent))
}

/// A text as a scalar of a flow collection. It has printable ASCII only.
pub(crate) fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_./-".contains(c);
    let word =
        text.starts_with(|c: char| c.is_ascii_alphabetic() || "_/.".contains(c)) && text.chars().all(plain);
    let means_more = ["null", "true", "false", "yes", "no", "on", "off", "y", "n", "~"];
    if word && !means_more.contains(&text.to_ascii_lowercase().as_str()) {
        return text.to_owned();
    }
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c => out.push(c),
        }
    }
    out + "\""
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_values_break_between_their_parts() {
        let text = || Value::Text("BPF_MOV64_IMM(BPF_REG_0, 0)".into());
        let value = Value::List(vec![
            Value::word("BPF_PROG_LOAD"),
            Value::Map(vec![
                ("insns".into(), Value::one("insns", Value::List(vec![text(), text(), text(), text()]))),
                ("license".into(), Value::one("str", Value::Text("a \"b\"".into()))),
            ]),
        ]);
        insta::assert_snapshot!(lines(6, "- bpf:", &value), @r#"
        - bpf: [BPF_PROG_LOAD, {insns: {insns: ["BPF_MOV64_IMM(BPF_REG_0, 0)", "BPF_MOV64_IMM(BPF_REG_0, 0)",
            "BPF_MOV64_IMM(BPF_REG_0, 0)", "BPF_MOV64_IMM(BPF_REG_0, 0)"]}, license: {str: "a \"b\""}}]
        "#);
    }
}
