#!/usr/bin/env bash
# yaml_serde: `version: 6.10` is the text 6.10 to a field of type String, until the struct is flattened, tagged or untagged.
#
# Versions:  yaml_serde 0.10.7, the continuation of serde_yaml (crates.io), serde 1
# One would guess: a plain 6.10 is a number in YAML, so a field of type String refuses it everywhere; or the field's type decides,
#            so that it takes it everywhere. `#[serde(flatten)]` is about where fields stand, not about what they take.
# What happens: yaml_serde lets the type decide: a String takes 6.10, 0x10, true and even ~ as they are written. But `flatten`,
#            `tag = "…"` and `untagged` make serde read the value first, without any type, and there 6.10 is the number 6.1.
#            The same String then refuses it, without a line and column (untagged: without a reason), and where an
#            alternative takes numbers, 6.10 comes out as 6.1. Numbers change the other way: u64 refuses -0, and takes it
#            when flattened.
# Why it matters: versions of kernels, addresses and ids are written so. Moving a struct's fields into a shared struct breaks files
#            that were good, and takes the place out of the message; kernel 6.10 becomes 6.1, which there is too.
# Seen:
#   6.10   String             Ok("6.10")
#   6.10   String, flattened  Err(invalid type: floating point `6.1`, expected a string)
#   6.10   String, tagged     Err(invalid type: floating point `6.1`, expected a string)
#   6.10   String, untagged   Err(data did not match any variant of untagged enum Untagged)
#   6.10   number or text     Ok(Number(6.1))
#   ~      String             Ok("~")
#   -0     u64                Err(version: invalid type: integer `0`, expected u64 at line 1 column 10)
#   -0     u64, flattened     Ok(0)
#
# Exit status: 0 as described, 1 if that has changed, 3 if a package cannot be had.
set -euo pipefail
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
missing() { echo "cannot be had: $*" >&2; exit 3; }
cd "$scratch"
mkdir -p reader/src
cat >reader/Cargo.toml <<'EOF'
[package]
name = "reader"
version = "0.0.0"
edition = "2021"
[dependencies]
serde = { version = "1", features = ["derive"] }
yaml_serde = "=0.10.7"
[workspace]
EOF
cat >reader/src/main.rs <<'EOF'
use serde::{de::DeserializeOwned, Deserialize};
use std::fmt::Debug;

#[derive(Deserialize)]
struct Plain<T> {
    version: T,
}
#[derive(Deserialize)]
struct Flattened<T> {
    #[serde(flatten)]
    shared: Plain<T>,
}
#[derive(Deserialize)]
#[serde(tag = "kind")]
enum Tagged {
    #[serde(rename = "kernel")]
    Kernel { version: String },
}
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Untagged {
    Text(String),
    List(Vec<String>),
}
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Either {
    Number(f64),
    Text(String),
}

fn tell<T: DeserializeOwned, V: Debug>(scalar: &str, what: &str, value: impl Fn(T) -> V) {
    let text = format!("version: {scalar}\n");
    let text = if what.ends_with("tagged") && !what.ends_with("untagged") { format!("{text}kind: kernel\n") } else { text };
    match yaml_serde::from_str::<T>(&text) {
        Ok(read) => println!("{scalar:<6} {what:<18} Ok({:?})", value(read)),
        Err(error) => println!("{scalar:<6} {what:<18} Err({error})"),
    }
}

fn main() {
    tell("6.10", "String", |read: Plain<String>| read.version);
    tell("6.10", "String, flattened", |read: Flattened<String>| read.shared.version);
    tell("6.10", "String, tagged", |Tagged::Kernel { version }| version);
    tell("6.10", "String, untagged", |read: Plain<Untagged>| read.version);
    tell("6.10", "number or text", |read: Plain<Either>| read.version);
    tell("~", "String", |read: Plain<String>| read.version);
    tell("-0", "u64", |read: Plain<u64>| read.version);
    tell("-0", "u64, flattened", |read: Flattened<u64>| read.shared.version);
}
EOF
CARGO_TARGET_DIR="$scratch/target" cargo build --quiet --manifest-path reader/Cargo.toml 2>err || { cat err >&2; missing "yaml_serde 0.10.7"; }
target/debug/reader | tee seen
diff - seen <<'EOF' || { echo "the behaviour has changed" >&2; exit 1; }
6.10   String             Ok("6.10")
6.10   String, flattened  Err(invalid type: floating point `6.1`, expected a string)
6.10   String, tagged     Err(invalid type: floating point `6.1`, expected a string)
6.10   String, untagged   Err(data did not match any variant of untagged enum Untagged)
6.10   number or text     Ok(Number(6.1))
~      String             Ok("~")
-0     u64                Err(version: invalid type: integer `0`, expected u64 at line 1 column 10)
-0     u64, flattened     Ok(0)
EOF
