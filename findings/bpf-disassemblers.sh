#!/usr/bin/env bash
# Disassemblers of BPF print instructions that are younger than they are as others that they know, instead of as unknown.
#
# Versions:  llvm-14 1:14.0.6-12, llvm-19 1:19.1.7-3~deb12u1, binutils-bpf 2.40-2+1 (Debian)
# One would guess: what a disassembler does not know it prints as <unknown>, as llvm-objdump 14 does with gotol and with loads that
#            extend the sign. Where all print an instruction and its text is the same, it is the same instruction.
# What happens: BPF has grown by giving a meaning to fields that had to be zero, and those are not looked at. To LLVM 14 and
#            binutils a signed division is an unsigned one, and a move that extends the sign a plain one. (LLVM 14 prints the
#            unsigned division by a register for `s/=`, and <unknown> for `s%=`.) A load with acquire, from r1 to r0, is an
#            atomic add of r1 to the memory at r0 to all three. To binutils all atomics are that add, also cmpxchg.
#            A call of a helper, of a subprogram and of a kernel function is `call 1` to each. callx has its register in the
#            immediate in LLVM 14 and in dst in LLVM 19; either prints the other's as "callx r0".
# Why it matters: whoever looks up with objdump what a test's bytes are, or compares a dump with an expected one, is told of another
#            program than the verifier saw, and nothing looks wrong. Compare bytes.
# Seen (LLVM 14 | LLVM 19 | binutils):
#   r0 /= r1                    r0 /= r1 | r0 /= r1 | div %r0,%r1
#   r0 s/= r1                   r0 /= r1 | r0 s/= r1 | div %r0,%r1
#   r0 s%= r1                   <unknown> | r0 s%= r1 | mod %r0,%r1
#   r0 = (s8)r1                 r0 = r1 | r0 = (s8)r1 | mov %r0,%r1
#   r0 = load_acquire(r1)       lock *(u64 *)(r0 + 0) += r1 | lock *(u64 *)(r0 + 0x0) += r1 | xadddw [%r0+0],%r1
#   xchg(r1, r0)                r0 = xchg_64(r1 + 0, r0) | r0 = xchg_64(r1 + 0x0, r0) | xadddw [%r1+0],%r0
#   cmpxchg(r1, r0, r0)         r0 = cmpxchg_64(r1 + 0, r0, r0) | r0 = cmpxchg_64(r1 + 0x0, r0, r0) | xadddw [%r1+0],%r0
#   call helper 1               call 1 | call 0x1 | call 1
#   call pc+1                   call 1 | call 0x1 | call 1
#   call kernel function 1      call 1 | call 0x1 | call 1
#   callx r1, in the immediate  callx r1 | callx r0 | *unknown*
#   callx r1, in dst            callx r0 | callx r1 | *unknown*
#
# Exit status: 0 as described, 1 if that has changed, 3 if a package cannot be had. Downloads 80 MB and more.
set -euo pipefail
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
missing() { echo "cannot be had: $*" >&2; exit 3; }
cd "$scratch"
mkdir -p archives/partial
# With what they depend on and this machine has not.
apt-get install --yes --download-only --reinstall --no-install-recommends -qq -o Debug::NoLocking=1 -o APT::Sandbox::User=root \
    -o Dir::Cache::Archives="$scratch/archives" llvm-14=1:14.0.6-12 libllvm14=1:14.0.6-12 llvm-19=1:19.1.7-3~deb12u1 \
    libllvm19=1:19.1.7-3~deb12u1 binutils-bpf=2.40-2+1 >&2 || missing "llvm-14, llvm-19, binutils-bpf"
for package in archives/*.deb; do dpkg-deb -x "$package" debian; done
libraries="$scratch/debian/usr/lib/$(uname -m)-linux-gnu:$scratch/debian/lib/$(uname -m)-linux-gnu"
run() { LD_LIBRARY_PATH="$libraries" "$scratch/debian/usr/$1" "${@:2}"; }
for program in lib/llvm-14/bin/llvm-objdump lib/llvm-19/bin/llvm-objdump bin/bpf-objdump; do
    run "$program" --version >/dev/null || missing "what $program needs"
done

cat >code.py <<'EOF'
import struct, sys


def insn(op, dst=0, src=0, off=0, imm=0):
    return struct.pack("<BBhi", op, dst | src << 4, off, imm)


# Named more or less as the kernel prints them; callx is the compilers' alone.
NAMES = {
    "r0 /= r1": insn(0x3f, 0, 1),
    "r0 s/= r1": insn(0x3f, 0, 1, 1),
    "r0 s%= r1": insn(0x9f, 0, 1, 1),
    "r0 = (s8)r1": insn(0xbf, 0, 1, 8),
    "r0 = load_acquire(r1)": insn(0xdb, 0, 1, 0, 0x100),
    "xchg(r1, r0)": insn(0xdb, 1, 0, 0, 0xe1),
    "cmpxchg(r1, r0, r0)": insn(0xdb, 1, 0, 0, 0xf1),
    "call helper 1": insn(0x85, 0, 0, 0, 1),
    "call pc+1": insn(0x85, 0, 1, 0, 1),
    "call kernel function 1": insn(0x85, 0, 2, 0, 1),
    "callx r1, in the immediate": insn(0x8d, 0, 0, 0, 1),
    "callx r1, in dst": insn(0x8d, 1),
}
if sys.argv[1] == "assemble":
    print(".text\nf:")
    for code in NAMES.values():
        print(".byte", ", ".join(map(str, code)))
else:
    texts = []
    for file in sys.argv[2:]:
        lines = [line.rstrip("\n").split("\t") for line in open(file)]
        texts.append([words[-1].strip() for words in lines if len(words) > 2])
    for name, *said in zip(NAMES, *texts, strict=True):
        print(f"{name:<27}", " | ".join(said))
EOF
python3 code.py assemble >code.s
run lib/llvm-19/bin/llvm-mc -triple bpfel -filetype obj code.s -o code.o || missing "a llvm-mc that assembles for BPF"
run lib/llvm-14/bin/llvm-objdump --disassemble code.o >old
run lib/llvm-19/bin/llvm-objdump --disassemble code.o >new
run bin/bpf-objdump --disassemble code.o >gnu
python3 code.py table old new gnu | tee seen
diff - seen <<'EOF' || { echo "the behaviour has changed" >&2; exit 1; }
r0 /= r1                    r0 /= r1 | r0 /= r1 | div %r0,%r1
r0 s/= r1                   r0 /= r1 | r0 s/= r1 | div %r0,%r1
r0 s%= r1                   <unknown> | r0 s%= r1 | mod %r0,%r1
r0 = (s8)r1                 r0 = r1 | r0 = (s8)r1 | mov %r0,%r1
r0 = load_acquire(r1)       lock *(u64 *)(r0 + 0) += r1 | lock *(u64 *)(r0 + 0x0) += r1 | xadddw [%r0+0],%r1
xchg(r1, r0)                r0 = xchg_64(r1 + 0, r0) | r0 = xchg_64(r1 + 0x0, r0) | xadddw [%r1+0],%r0
cmpxchg(r1, r0, r0)         r0 = cmpxchg_64(r1 + 0, r0, r0) | r0 = cmpxchg_64(r1 + 0x0, r0, r0) | xadddw [%r1+0],%r0
call helper 1               call 1 | call 0x1 | call 1
call pc+1                   call 1 | call 0x1 | call 1
call kernel function 1      call 1 | call 0x1 | call 1
callx r1, in the immediate  callx r1 | callx r0 | *unknown*
callx r1, in dst            callx r0 | callx r1 | *unknown*
EOF
