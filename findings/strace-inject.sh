#!/usr/bin/env bash
# strace: of two --inject for one system call the last takes the place of the first; an injected restart reaches the program.
#
# Versions:  strace 6.1-0.1 (Debian)
# One would guess: --inject=CALL:error=EINTR:when=1 and --inject=CALL:error=ENOSYS:when=2 make the first call fail with EINTR and
#            the second with ENOSYS. An injected ERESTARTSYS is as if a signal had come: the kernel calls again or gives EINTR,
#            as for each that strace prints so.
# What happens: strace keeps one injection for each system call, and says nothing when a later one replaces it. The first call
#            works, only the second fails. ERESTARTSYS is put into the result after the kernel has looked for such codes: strace
#            prints "? ERESTARTSYS (To be restarted if SA_RESTART is set)", as for a real one, and the program sees -1 with
#            errno 512, which no program is ever to see. `when` counts for each process by itself, so under -f
#            "the first call" is one for each child.
# Why it matters: a sequence of faults ("first busy, then no memory") is what a harness wants to inject, and a test of it passes
#            since nothing failed. A comparison of strace's output with what the program says finds an errno that is not there.
# Seen, errno of the first and the second call in the program, then in its child:
#   EINTR when=1, ENOSYS when=2:   0 38 child 0 0
#   both in the other order:       4 0 child 0 0
#   ERESTARTSYS when=1:            512 0 child 0 0
#   EINTR when=1, with -f:         4 0 child 4 0
#
# Exit status: 0 as described, 1 if that has changed, 3 if a package cannot be had.
set -euo pipefail
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
missing() { echo "cannot be had: $*" >&2; exit 3; }
cd "$scratch"
(apt-get download -qq -o APT::Sandbox::User=root strace=6.1-0.1 libunwind8=1.6.2-3 >&2 &&
    for package in *.deb; do dpkg-deb -x "$package" debian; done) || missing "strace 6.1-0.1"
cat >twice.py <<'EOF'
import ctypes, os

libc = ctypes.CDLL(None, use_errno=True)


def errno():
    ctypes.set_errno(0)
    libc.sched_get_priority_max(0)  # which nothing else calls here
    return ctypes.get_errno()


mine = [errno(), errno()]
reader, writer = os.pipe()
if os.fork() == 0:
    os.write(writer, f"{errno()} {errno()}".encode())
    os._exit(0)
os.wait()
print(*mine, "child", os.read(reader, 100).decode())
EOF
strace() {
    LD_LIBRARY_PATH="$(dirname "$(find "$scratch/debian" -name 'libunwind.so.8')")" "$scratch/debian/usr/bin/strace" -o log "$@" python3 twice.py
}
strace >/dev/null || missing "strace, or the right to trace"

call=--inject=sched_get_priority_max
{
    echo "EINTR when=1, ENOSYS when=2:   $(strace "$call:error=EINTR:when=1" "$call:error=ENOSYS:when=2")"
    echo "both in the other order:       $(strace "$call:error=ENOSYS:when=2" "$call:error=EINTR:when=1")"
    echo "ERESTARTSYS when=1:            $(strace "$call:error=ERESTARTSYS:when=1")"
    grep --only-matching --max-count=1 'ERESTARTSYS (.*)' log
    echo "EINTR when=1, with -f:         $(strace -f "$call:error=EINTR:when=1")"
} | tee seen
diff - seen <<'EOF' || { echo "the behaviour has changed" >&2; exit 1; }
EINTR when=1, ENOSYS when=2:   0 38 child 0 0
both in the other order:       4 0 child 0 0
ERESTARTSYS when=1:            512 0 child 0 0
ERESTARTSYS (To be restarted if SA_RESTART is set) (INJECTED)
EINTR when=1, with -f:         4 0 child 4 0
EOF
