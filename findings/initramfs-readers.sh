#!/usr/bin/env bash
# The kernel unpacks another tree from an initramfs than GNU cpio shows of the same file.
#
# Versions:  linux-image-6.1.0-50-cloud-amd64 6.1.176-1, cpio 2.13+dfsg-7.1, busybox-static 1:1.35.0-4+deb12u1+b1 (Debian); QEMU as
#            installed
# One would guess: `cpio --extract --make-directories` shows what a guest will find, but for what stands behind the trailer, at
#            which cpio stops and the kernel, as its documentation says, goes on.
# What happens, with a well-formed newc archive:
#   twice   a name that comes twice: the kernel has the later file. cpio keeps the earlier one, as that is "newer or same age".
#   first, second   two links of one inode that both bring contents: the kernel writes the later contents into the one file, cpio
#           links and drops the later. Contents that one of the links brings are read alike.
#   folder/inner   a file whose folder has no entry: the kernel drops it without a word, cpio makes the folder.
#   after   a second archive behind the first: in the guest, and not in cpio's tree.
# Why it matters: a harness puts a guest's initramfs together from parts (a base, modules, the agent, a changed file over it), and
#            looks into it with cpio when a guest does not come up. That the changed file is there in the one and not in the other
#            is looked for in the wrong place.
# Seen:
#                 kernel         cpio
#   twice         new            old
#   first         two            one
#   second        two            one
#   folder/inner  -              inner
#   after         after          -
#
# Exit status: 0 as described, 1 if that has changed, 3 if a package cannot be had. Boots a guest, without KVM.
set -euo pipefail
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
missing() { echo "cannot be had: $*" >&2; exit 3; }
cd "$scratch"
command -v qemu-system-x86_64 >/dev/null || missing "qemu-system-x86_64; apt-get install qemu-system-x86"
command -v python3 >/dev/null || missing python3
(apt-get download -qq -o APT::Sandbox::User=root linux-image-6.1.0-50-cloud-amd64=6.1.176-1 cpio=2.13+dfsg-7.1 \
    busybox-static=1:1.35.0-4+deb12u1+b1 >&2 && for package in *.deb; do dpkg-deb -x "$package" debian; done) || missing "Debian's packages of this version"
cat >archive.py <<'EOF'
import itertools

inodes = itertools.count(1)


def entry(name, data=b"", mode=0o100644, inode=None, links=1, device=(0, 0)):
    """newc: a header in hexadecimal, the name and the contents, each filled up to 4 bytes."""
    path = name.encode() + b"\0"
    fields = (inode or next(inodes), mode, 0, 0, links, 0, len(data), 0, 0, *device, len(path), 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + path
    return head + b"\0" * (-len(head) % 4) + data + b"\0" * (-len(data) % 4)


trailer = entry("TRAILER!!!", mode=0)
tried = b"".join([
    entry("twice", b"old"), entry("twice", b"new"),
    entry("first", b"one", inode=900, links=2), entry("second", b"two", inode=900, links=2),
    entry("folder/inner", b"inner"),
    trailer, entry("after", b"after"), trailer,
])
script = b"""#!/bin/busybox sh
for file in twice first second folder/inner after; do
    echo "seen $file $(/bin/busybox cat /$file 2>/dev/null || echo -)"
done
/bin/busybox poweroff -f
"""
guest = b"".join([
    entry("bin", mode=0o40755, links=2), entry("bin/busybox", open("debian/bin/busybox", "rb").read(), 0o100755),
    entry("dev", mode=0o40755, links=2), entry("dev/console", mode=0o20600, device=(5, 1)),
    entry("init", script, 0o100755), tried,
])
open("tried.cpio", "wb").write(tried)
open("guest.cpio", "wb").write(guest)
EOF
python3 archive.py
timeout 100 qemu-system-x86_64 -accel tcg -cpu qemu64,cx16=off -m 256 -nodefaults -display none -no-reboot -serial stdio \
    -kernel debian/boot/vmlinuz-6.1.0-50-cloud-amd64 -initrd guest.cpio -append "console=ttyS0 panic=-1 quiet" </dev/null >console ||
    missing "a guest that ends"
grep --quiet '^seen after' console || missing "a guest that comes up"
mkdir there
(cd there && "$(find "$scratch/debian" -type f -name cpio -path '*/bin/*')" --extract --make-directories --quiet <../tried.cpio) || true
for file in twice first second folder/inner after; do
    printf '%-13s %-14s %s\n' "$file" "$(tr -d '\r' <console | sed -n "s|^seen $file ||p")" "$(cat "there/$file" 2>/dev/null || echo -)"
done | tee seen
diff - seen <<'EOF' || { echo "the behaviour has changed" >&2; exit 1; }
twice         new            old
first         two            one
second        two            one
folder/inner  -              inner
after         after          -
EOF
