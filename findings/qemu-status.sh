#!/usr/bin/env bash
# QEMU ends with status 0 when a signal ends it, when the guest resets itself by a triple fault, and for some failures that a
# guest tells it of.
#
# Versions:  qemu-system-x86 and qemu-system-misc 1:7.2+dfsg (Debian; what is installed is used)
# One would guess: a QEMU that SIGTERM ended says so by its status (143, or at least not 0). A guest that a triple fault ends
#            under -no-reboot did not end well. RISC-V's test device hands the guest's code on (QEMU ends with 5 for a failure
#            with code 5), so a failure is not 0; and isa-debug-exit gives each value a status of its own.
# What happens: SIGTERM, SIGINT and SIGHUP are requests to shut down, with status 0 and a line on stderr. -no-reboot turns any
#            reset into a shutdown with status 0, also the one by which x86 ends a triple fault, and so a kernel's panic=-1.
#            The test device's code is 16 bits wide and the status 8: a failure with code 0 or 256 ends QEMU with 0, as
#            success does. isa-debug-exit ends it with 2 * VALUE + 1, in 8 bits: 0x80 is the same as 0, and 0 cannot be said.
# Why it matters: a harness that takes 0 for "the guest powered off" calls a guest good that a time limit, an out-of-memory
#            service or a container's stop has ended, or that died before its first line. The SHUTDOWN event on QMP tells the
#            reason (host-signal, guest-reset, guest-shutdown, guest-panic).
# Seen:
#   SIGTERM                     0
#   SIGINT                      0
#   SIGHUP                      0
#   triple fault, -no-reboot    0
#   debug-exit 0x00             1
#   debug-exit 0x01             3
#   debug-exit 0x80             1
#   riscv success               0
#   riscv failure, code 5       5
#   riscv failure, code 0       0
#   riscv failure, code 256     0
#
# Exit status: 0 as described, 1 if that has changed, 3 if a package cannot be had.
set -euo pipefail
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
missing() { echo "cannot be had: $*" >&2; exit 3; }
cd "$scratch"
for package in qemu-system-x86:qemu-system-x86_64 qemu-system-misc:qemu-system-riscv64; do
    program=${package#*:}
    command -v "$program" >/dev/null || missing "$program; apt-get install ${package%:*}"
    "$program" --version | grep --quiet 'version 7\.2\.' || missing "$program 7.2"
done
cat >try.py <<'EOF'
import signal, struct, subprocess, time

X86 = ["qemu-system-x86_64", "-accel", "tcg", "-display", "none", "-nodefaults", "-no-reboot"]
RISCV = ["qemu-system-riscv64", "-M", "virt", "-display", "none", "-nodefaults", "-no-reboot", "-bios", "code"]


def tell(what, status):
    print(f"{what:<27} {status}")


def signalled(number):
    """No machine, no guest: QEMU answers on its monitor when it is up."""
    qemu = subprocess.Popen([*X86, "-M", "none", "-monitor", "stdio"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                            stderr=subprocess.DEVNULL)
    qemu.stdin.write(b"info status\n")
    qemu.stdin.flush()
    if not any(b"VM status" in line for line in qemu.stdout):
        raise SystemExit("QEMU did not answer on its monitor")
    qemu.send_signal(number)
    return qemu.wait(30)


def x86(code):
    """A boot sector."""
    with open("sector", "wb") as out:
        out.write(code.ljust(510, b"\0") + b"\x55\xaa")
    devices = ["-drive", "file=sector,format=raw,if=ide", "-device", "isa-debug-exit,iobase=0xf4,iosize=4"]
    return subprocess.run([*X86, *devices], timeout=30).returncode


def debug_exit(value):
    # mov eax, value; mov edx, 0xf4; out dx, eax; hlt
    return x86(struct.pack("<2sI2sI3s", b"\x66\xb8", value, b"\x66\xba", 0xf4, b"\x66\xef\xf4"))


def riscv(value):
    """lui t0, 0x100 (the test device); lui and addi t1, value; sw t1, 0(t0); j ."""
    high, low = value + 0x800 >> 12, value & 0xfff
    with open("code", "wb") as out:
        out.write(struct.pack("<5I", 0x001002b7, high << 12 | 0x337, low << 20 | 0x30313, 0x0062a023, 0x6f))
    return subprocess.run(RISCV, timeout=30).returncode


for number in signal.SIGTERM, signal.SIGINT, signal.SIGHUP:
    tell(number.name, signalled(number))
# cli; lidt [0x7c2c], which is an empty table; int3
tell("triple fault, -no-reboot", x86(bytes.fromhex("fa0f011e2c7cccf4")))
for value in 0x00, 0x01, 0x80:
    tell(f"debug-exit {value:#04x}", debug_exit(value))
tell("riscv success", riscv(0x5555))
for code in 5, 0, 256:
    tell(f"riscv failure, code {code}", riscv(code << 16 | 0x3333))
EOF
python3 try.py | tee seen
diff - seen <<'EOF' || { echo "the behaviour has changed" >&2; exit 1; }
SIGTERM                     0
SIGINT                      0
SIGHUP                      0
triple fault, -no-reboot    0
debug-exit 0x00             1
debug-exit 0x01             3
debug-exit 0x80             1
riscv success               0
riscv failure, code 5       5
riscv failure, code 0       0
riscv failure, code 256     0
EOF
