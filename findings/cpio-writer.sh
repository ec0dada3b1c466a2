#!/usr/bin/env bash
# The cpio crate finishes an entry that got fewer bytes than it was to have, and the next file is gone; with nlink(2) and nothing
# else, files become links of each other.
#
# Versions:  cpio 0.4.2 (crates.io), cpio 2.13+dfsg-7.1 (Debian) as the reader
# One would guess: `Builder::write` takes the size, since newc has it in the header, so `finish` sees to it that it is so: it fails,
#            or fills up with zeros, when less was written (more is an error at once). The fields that one does not set are such
#            that each entry is a file by itself.
# What happens: `finish` returns Ok and aligns what there is. The reader takes the missing bytes from the header of the next
#            entry, seeks for the next one from there, and the second file is lost. And the inode is 0 for all: as soon as
#            nlink is set from a file's metadata, which is 2 for a file with a hard link anywhere, all such files are one, with
#            the first one's contents.
# Why it matters: a harness makes initramfs images of files that may change while it reads them (a log, a file that is being built).
#            No error is seen, and a guest lacks a file or has another in its place.
# Seen, what GNU cpio unpacks:
#   written in full:                              first "12345678", second "second"
#   3 bytes of 8 for the first, finish is Ok:     first "12307070", second missing
#   both in full, with nlink(2):                  first "12345678", second "12345678"
#   both in full, with nlink(2) and ino(1, 2):    first "12345678", second "second"
#
# Exit status: 0 as described, 1 if that has changed, 3 if a package cannot be had.
set -euo pipefail
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
missing() { echo "cannot be had: $*" >&2; exit 3; }
cd "$scratch"
(apt-get download -qq -o APT::Sandbox::User=root cpio=2.13+dfsg-7.1 >&2 && dpkg-deb -x cpio_*.deb debian) || missing "cpio 2.13+dfsg-7.1"
mkdir -p writer/src
cat >writer/Cargo.toml <<'EOF'
[package]
name = "writer"
version = "0.0.0"
edition = "2021"
[dependencies]
cpio = "=0.4.2"
[workspace]
EOF
cat >writer/src/main.rs <<'EOF'
use std::io::Write;

/// How many bytes of the first are written; nlink; whether each has an inode of its own.
fn main() {
    let words: Vec<u32> = std::env::args().skip(1).map(|word| word.parse().unwrap()).collect();
    let mut out = Vec::new();
    for (index, (name, text, written)) in [("first", "12345678", words[0] as usize), ("second", "second", 6)].into_iter().enumerate() {
        let mut entry = cpio::newc::Builder::new(name).mode(0o100644).nlink(words[1]);
        if words[2] == 1 {
            entry = entry.ino(index as u32 + 1);
        }
        let mut entry = entry.write(&mut out, text.len() as u32);
        entry.write_all(&text.as_bytes()[..written]).unwrap();
        entry.finish().unwrap();
    }
    cpio::newc::trailer(&mut out).unwrap();
    std::io::stdout().write_all(&out).unwrap();
}
EOF
CARGO_TARGET_DIR="$scratch/target" cargo build --quiet --manifest-path writer/Cargo.toml || missing "the crate cpio 0.4.2"

told() { if [[ -e $1 ]]; then echo "$1 \"$(cat "$1")\""; else echo "$1 missing"; fi; }
# unpacked LABEL ARGUMENT...: what GNU cpio makes of the archive.
unpacked() {
    rm -rf there
    mkdir there
    target/debug/writer "${@:2}" >archive
    (cd there && "$(find "$scratch/debian" -type f -name cpio -path '*/bin/*')" --extract --quiet <../archive 2>/dev/null) || true
    printf '%-45s %s\n' "$1:" "$(cd there && told first), $(cd there && told second)"
}
{
    unpacked "written in full" 8 1 0
    unpacked "3 bytes of 8 for the first, finish is Ok" 3 1 0
    unpacked "both in full, with nlink(2)" 8 2 0
    unpacked "both in full, with nlink(2) and ino(1, 2)" 8 2 1
} | tee seen
diff - seen <<'EOF' || { echo "the behaviour has changed" >&2; exit 1; }
written in full:                              first "12345678", second "second"
3 bytes of 8 for the first, finish is Ok:     first "12307070", second missing
both in full, with nlink(2):                  first "12345678", second "12345678"
both in full, with nlink(2) and ino(1, 2):    first "12345678", second "second"
EOF
