#!/usr/bin/env bash
# insta: a snapshot in a file cannot tell CR LF from LF, nor see blank lines or white space at either end of the text.
#
# Versions:  insta 1.49.0 (crates.io)
# One would guess: a snapshot in a file is compared as it is, but perhaps for the line feed that the file needs at its end.
# What happens: line ends are made equal, empty lines in front are dropped, and all white space at the end, also a form feed, a tab
#            or a no-break space. A CR before the line feed, a lost last line feed and three blank lines too many all pass,
#            with INSTA_UPDATE=no and in CI. White space inside, and at the start of the first line, does count.
# Why it matters: just these are faults of what writes to terminals, serial consoles and files: "\r\n" for "\n", a prompt without
#            its blank, a last line that is not ended. Test them with assert_eq, or with a snapshot of the text's Debug form.
# Seen, the stored text is "a\n  b":
#   "a\n  b"          passes
#   "a\r\n  b\r\n"    passes
#   "a\n  b\n\n\n"    passes
#   "\n\na\n  b"      passes
#   "a\n  b \t\u{c}"  passes
#   "a\n  b\u{a0}"    passes
#   " a\n  b"         fails
#   "a \n  b"         fails
#
# Exit status: 0 as described, 1 if that has changed, 3 if a package cannot be had.
set -euo pipefail
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
missing() { echo "cannot be had: $*" >&2; exit 3; }
cd "$scratch"
mkdir -p program/src/snapshots
cd program
cat >Cargo.toml <<'EOF'
[package]
name = "program"
version = "0.0.0"
edition = "2021"
[dependencies]
insta = "=1.49.0"
[workspace]
EOF
cat >src/main.rs <<'EOF'
fn main() {
    std::panic::set_hook(Box::new(|_| {}));
    let texts = ["a\n  b", "a\r\n  b\r\n", "a\n  b\n\n\n", "\n\na\n  b", "a\n  b \t\u{c}", "a\n  b\u{a0}", " a\n  b", "a \n  b"];
    for text in texts {
        let compared = std::panic::catch_unwind(|| {
            insta::with_settings!({ prepend_module_to_snapshot => false }, { insta::assert_snapshot!("text", text) })
        });
        println!("{:<17} {}", format!("{text:?}"), if compared.is_ok() { "passes" } else { "fails" });
    }
}
EOF
printf '%s\n' --- 'source: src/main.rs' 'expression: text' --- a '  b' >src/snapshots/text.snap
CARGO_TARGET_DIR="$scratch/target" cargo build --quiet || missing "insta 1.49.0"
INSTA_UPDATE=no CI=1 "$scratch/target/debug/program" 2>/dev/null | grep --extended-regexp '(passes|fails)$' | tee seen
diff - seen <<'EOF' || { echo "the behaviour has changed" >&2; exit 1; }
"a\n  b"          passes
"a\r\n  b\r\n"    passes
"a\n  b\n\n\n"    passes
"\n\na\n  b"      passes
"a\n  b \t\u{c}"  passes
"a\n  b\u{a0}"    passes
" a\n  b"         fails
"a \n  b"         fails
EOF
