#!/usr/bin/env bash
# clap: a variable of the environment counts as typed: nothing typed can get past it, and FLAG=1 is an error for a flag.
#
# Versions:  clap 4.6.7 (crates.io), derive and env
# One would guess: `env` is a default that the command line overrides. So with `--all` (env ALL) in conflict with `--only`, a typed
#            `--only` wins over an exported ALL. A flag (`bool`) with `env` is set by FLAG=1, as most programs have it, unset by
#            FLAG=0 (the documentation tells of such words for flags), and not set by an empty FLAG.
# What happens: for `conflicts_with` and `exclusive` a value from the environment is as good as a typed one. `--only x` with
#            an exported ALL exits with 2 and says that "--only" cannot be used with "--all", which nobody wrote, and no
#            argument can take it back; with an empty ALL it is the same. A `bool` of the derive API takes "true" and
#            "false" from the environment and nothing else: FLAG=1, FLAG=0 and FLAG= exit with 2, though `--flag` takes no value;
#            the words that the documentation tells of need `value_parser = FalseyValueParser::new()`.
# Why it matters: a harness is set up in CI by variables that hold for all jobs, and run by hand with the same ones exported. What a
#            pipeline exports then breaks an invocation that says exactly what it wants.
# Seen:
#   --only x                 0
#   ALL=y                    0
#   ALL=y --only x           2 the argument '--only <ONLY>' cannot be used with '--all <ALL>'
#   ALL= --only x            2 the argument '--only <ONLY>' cannot be used with '--all <ALL>'
#   ALONE=y                  0
#   ALONE=y FLAG=true        2 the argument '--alone <ALONE>' cannot be used with one or more of the other specified arguments
#   FLAG=true                0
#   FLAG=1                   2 invalid value '1' for '--flag'
#   FLAG=                    2 a value is required for '--flag' but none was supplied
#   FALSEY=1                 0
#
# Exit status: 0 as described, 1 if that has changed, 3 if a package cannot be had.
set -euo pipefail
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
missing() { echo "cannot be had: $*" >&2; exit 3; }
cd "$scratch"
mkdir -p program/src
cat >program/Cargo.toml <<'EOF'
[package]
name = "program"
version = "0.0.0"
edition = "2021"
[dependencies]
clap = { version = "=4.6.7", features = ["derive", "env"] }
[workspace]
EOF
cat >program/src/main.rs <<'EOF'
use clap::{builder::FalseyValueParser, Parser};

#[derive(Parser)]
struct Arguments {
    #[arg(long, env = "ALL", conflicts_with = "only")]
    all: Option<String>,
    #[arg(long)]
    only: Option<String>,
    #[arg(long, env = "ALONE", exclusive = true)]
    alone: Option<String>,
    #[arg(long, env = "FLAG")]
    flag: bool,
    #[arg(long, env = "FALSEY", value_parser = FalseyValueParser::new())]
    falsey: bool,
}

fn main() {
    let a = Arguments::parse();
    let _ = (a.all, a.only, a.alone, a.flag, a.falsey);
}
EOF
CARGO_TARGET_DIR="$scratch/target" cargo build --quiet --manifest-path program/Cargo.toml || missing "clap 4.6.7"
unset ALL ALONE FLAG FALSEY
while read -r words; do
    before=() after=()
    for word in $words; do
        if [[ $word == [A-Z]*=* ]]; then before+=("$word"); else after+=("$word"); fi
    done
    status=0
    env "${before[@]}" target/debug/program "${after[@]}" 2>err || status=$?
    printf '%-24s %s\n' "$words" "$status $(sed -n 's/^error: //p' err)"
done <<'EOF' | sed 's/ *$//' | tee seen
--only x
ALL=y
ALL=y --only x
ALL= --only x
ALONE=y
ALONE=y FLAG=true
FLAG=true
FLAG=1
FLAG=
FALSEY=1
EOF
diff - seen <<'EOF' || { echo "the behaviour has changed" >&2; exit 1; }
--only x                 0
ALL=y                    0
ALL=y --only x           2 the argument '--only <ONLY>' cannot be used with '--all <ALL>'
ALL= --only x            2 the argument '--only <ONLY>' cannot be used with '--all <ALL>'
ALONE=y                  0
ALONE=y FLAG=true        2 the argument '--alone <ALONE>' cannot be used with one or more of the other specified arguments
FLAG=true                0
FLAG=1                   2 invalid value '1' for '--flag'
FLAG=                    2 a value is required for '--flag' but none was supplied
FALSEY=1                 0
EOF
