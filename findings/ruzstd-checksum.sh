#!/usr/bin/env bash
# ruzstd's reader wants a frame's checksum to be there, and does not look at it; it also ends after the first frame.
#
# Versions:  ruzstd 0.9.1 (crates.io), zstd 1.5.4+dfsg2-5 (Debian)
# One would guess: a file that `zstd` writes has a checksum by default, so any decoder that reads to its end without an
#            error has the bytes that were packed. `read_to_end` goes on through all frames, as `zstd --decompress` does.
# What happens: with one byte of the contents changed, `StreamingDecoder::read_to_end` returns Ok with that byte changed,
#            where zstd says "Restored data doesn't match checksum". Cut the checksum off and ruzstd fails, as if it
#            had been needed. Of two frames in one file the first is returned, and Ok; the rest is not read. A skippable
#            frame in front of it is an error.
# Why it matters: kernels, initramfs and modules are packed with zstd, in several frames where they were appended to each
#            other. A harness that unpacks them so tests a kernel with a flipped bit, or half an initramfs, and takes
#            what follows for the kernel's fault. Compare `get_checksum_from_data` with `get_calculated_checksum` of the
#            decoder, and start a new decoder until the input is at its end.
# Seen:
#   whole      zstd 0  ruzstd Ok("one two three")
#   changed    zstd 1  ruzstd Ok("One two three")
#   short      zstd 1  ruzstd Err(read)
#   two        zstd 0  ruzstd Ok("one two three")
#   skippable  zstd 0  ruzstd Err(new)
#
# Exit status: 0 as described, 1 if that has changed, 3 if a package cannot be had.
set -euo pipefail
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
missing() { echo "cannot be had: $*" >&2; exit 3; }
cd "$scratch"

(apt-get download -qq -o APT::Sandbox::User=root zstd=1.5.4+dfsg2-5 >&2 && dpkg-deb -x zstd_*.deb debian) || missing "zstd 1.5.4+dfsg2-5"
zstd="$scratch/debian/usr/bin/zstd"
mkdir -p reader/src
cat >reader/Cargo.toml <<'EOF'
[package]
name = "reader"
version = "0.0.0"
edition = "2021"
[dependencies]
ruzstd = "=0.9.1"
[workspace]
EOF
cat >reader/src/main.rs <<'EOF'
use std::io::Read;

fn main() {
    let packed = std::fs::read(std::env::args().nth(1).unwrap()).unwrap();
    let mut text = String::new();
    match ruzstd::decoding::StreamingDecoder::new(&packed[..]) {
        Err(_) => println!("Err(new)"),
        Ok(mut decoder) => match decoder.read_to_string(&mut text) {
            Err(_) => println!("Err(read)"),
            Ok(_) => println!("Ok({text:?})"),
        },
    }
}
EOF
CARGO_TARGET_DIR="$scratch/target" cargo build --quiet --manifest-path reader/Cargo.toml || missing "ruzstd 0.9.1"

printf 'one two three' >plain
"$zstd" --quiet plain -o whole
# So short a text is not compressed: it stands in the frame as it is.
LC_ALL=C sed 's/one/One/' whole >changed
head --bytes=-4 whole >short
cat whole whole >two
{ printf '\x50\x2a\x4d\x18\x04\x00\x00\x00note'; cat whole; } >skippable
for file in whole changed short two skippable; do
    status=0
    "$zstd" --quiet --decompress --stdout <"$file" >/dev/null 2>&1 || status=$?
    printf '%-10s zstd %s  ruzstd %s\n' "$file" "$status" "$(target/debug/reader "$file")"
done | tee seen
diff - seen <<'EOF' || { echo "the behaviour has changed" >&2; exit 1; }
whole      zstd 0  ruzstd Ok("one two three")
changed    zstd 1  ruzstd Ok("One two three")
short      zstd 1  ruzstd Err(read)
two        zstd 0  ruzstd Ok("one two three")
skippable  zstd 0  ruzstd Err(new)
EOF
