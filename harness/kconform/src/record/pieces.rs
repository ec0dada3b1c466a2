//! Memory as the buffers of a case file.

use super::decode::{named, number_at, number_of};
use super::insns::number;
use super::yaml::Value;

/// Bytes as the shortest buffer that says what they are.
pub(crate) fn piece(bytes: &[u8]) -> Value {
    match bytes.len() {
        0 => return Value::one("zero", Value::word("1")),
        1 | 2 | 4 | 8 => {
            let size = bytes.len();
            let value = number_at(bytes, 0, size);
            return Value::one(&format!("u{}", 8 * size), Value::word(number(value as i64)));
        }
        _ => {}
    }
    let first = bytes[0];
    if bytes.iter().all(|&byte| byte == first) {
        let length = Value::word(bytes.len().to_string());
        return match first {
            0 => Value::one("zero", length),
            _ => Value::one("fill", Value::List(vec![Value::word(format!("{first:#04x}")), length])),
        };
    }
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    let zeros = bytes.len() - end;
    if end >= 3 && zeros > 0 && bytes[end..].iter().all(|&byte| byte == 0) && is_text(&bytes[..end]) {
        let text = string(&String::from_utf8_lossy(&bytes[..end]));
        return match zeros - 1 {
            0 => text,
            rest => {
                Value::one("list", Value::List(vec![text, Value::one("zero", Value::word(rest.to_string()))]))
            }
        };
    }
    hex(bytes)
}

/// Whether it can be written as a text: `$` would begin a name.
pub(crate) fn is_text(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| (0x20..0x7f).contains(byte) && *byte != b'$')
}

/// `{str: text}`, or its bytes.
pub(crate) fn string(text: &str) -> Value {
    if is_text(text.as_bytes()) {
        return Value::one("str", Value::Text(text.to_owned()));
    }
    hex(&[text.as_bytes(), &[0]].concat())
}

/// `{hex: 01020304 05060708}`
pub(crate) fn hex(bytes: &[u8]) -> Value {
    let word = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut words: Vec<String> = bytes.chunks(4).map(word).collect();
    // A word of digits alone would be a number to YAML's readers; kconform reads text.
    if words.is_empty() {
        words.push("\"\"".into());
    }
    Value::one("hex", Value::Words(words))
}

/// `{u32: [1, 2]}`
pub(crate) fn words(bytes: &[u8]) -> Value {
    let words = bytes.chunks_exact(4).map(|word| Value::word(number_at(word, 0, 4).to_string())).collect();
    Value::one("u32", Value::List(words))
}

/// Values for each CPU: one for all if they are the same.
pub(crate) fn per_cpu(bytes: &[u8], value_size: usize) -> Option<Value> {
    let slots: Vec<&[u8]> = bytes
        .chunks(value_size.next_multiple_of(8))
        .map(|slot| &slot[..value_size.min(slot.len())])
        .collect();
    let first = slots.first()?;
    slots.iter().all(|slot| slot == first).then(|| Value::one("percpu", piece(first)))
}

/// Characters of an attr, NUL-padded.
pub(crate) fn characters(bytes: &[u8]) -> Value {
    let end = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    if end < bytes.len() && is_text(&bytes[..end]) {
        return string(&String::from_utf8_lossy(&bytes[..end]));
    }
    hex(bytes)
}

/// Flags as their names, joined with `|`; what has no name as a number.
pub(crate) fn flags(value: u64, names: &[&str]) -> String {
    let mut rest = value;
    let mut words = Vec::new();
    for name in names {
        let Some(bit) = number_of(name) else { continue };
        if bit != 0 && rest & bit == bit {
            words.push((*name).to_owned());
            rest &= !bit;
        }
    }
    if rest != 0 || words.is_empty() {
        words.push(if rest < 10 { rest.to_string() } else { format!("{rest:#x}") });
    }
    words.join(" | ")
}

const MAP_FLAGS: &[&str] = &[
    "BPF_F_NO_PREALLOC",
    "BPF_F_NO_COMMON_LRU",
    "BPF_F_NUMA_NODE",
    "BPF_F_RDONLY",
    "BPF_F_WRONLY",
    "BPF_F_STACK_BUILD_ID",
    "BPF_F_ZERO_SEED",
    "BPF_F_RDONLY_PROG",
    "BPF_F_WRONLY_PROG",
    "BPF_F_CLONE",
    "BPF_F_MMAPABLE",
    "BPF_F_PRESERVE_ELEMS",
    "BPF_F_INNER_MAP",
    "BPF_F_LINK",
    "BPF_F_PATH_FD",
    "BPF_F_VTYPE_BTF_OBJ_FD",
    "BPF_F_TOKEN_FD",
    "BPF_F_SEGV_ON_FAULT",
    "BPF_F_NO_USER_CONV",
];

const PROG_FLAGS: &[&str] = &[
    "BPF_F_STRICT_ALIGNMENT",
    "BPF_F_ANY_ALIGNMENT",
    "BPF_F_TEST_RND_HI32",
    "BPF_F_TEST_STATE_FREQ",
    "BPF_F_SLEEPABLE",
    "BPF_F_XDP_HAS_FRAGS",
    "BPF_F_XDP_DEV_BOUND_ONLY",
    "BPF_F_TEST_REG_INVARIANTS",
];

const ATTACH_FLAGS: &[&str] = &[
    "BPF_F_ALLOW_OVERRIDE",
    "BPF_F_ALLOW_MULTI",
    "BPF_F_REPLACE",
    "BPF_F_BEFORE",
    "BPF_F_AFTER",
    "BPF_F_ID",
];

/// A number of an attr as a kernel developer writes it.
pub(crate) fn number_of_field(command: &str, field: &str, value: u64) -> String {
    let by_name = |prefix| named(prefix, value).map(str::to_owned);
    let name = match field {
        "map_type" => by_name("BPF_MAP_TYPE_"),
        "prog_type" => by_name("BPF_PROG_TYPE_"),
        "attach_type" => super::decode::attach_type_of(value).map(str::to_owned),
        "expected_attach_type" if value != 0 => super::decode::attach_type_of(value).map(str::to_owned),
        "map_flags" | "open_flags" => Some(flags(value, MAP_FLAGS)),
        "file_flags" => Some(flags(value, MAP_FLAGS)),
        "prog_flags" => Some(flags(value, PROG_FLAGS)),
        "attach_flags" => Some(flags(value, ATTACH_FLAGS)),
        "flags" if command.starts_with("BPF_MAP_") => {
            Some(flags(value, &["BPF_NOEXIST", "BPF_EXIST", "BPF_F_LOCK"]))
        }
        "elem_flags" => Some(flags(value, &["BPF_NOEXIST", "BPF_EXIST", "BPF_F_LOCK"])),
        _ => None,
    };
    name.unwrap_or_else(|| number(value as i64))
}
