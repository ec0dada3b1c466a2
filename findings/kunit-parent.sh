#!/usr/bin/env bash
# The kernel's own kunit.py passes a run in which a suite says "not ok", as long as the suite's cases all say "ok".
#
# Versions:  kunit.py of linux-source-6.1 6.1.176-1 (Debian), tap-parser 18.3.4 (npm)
# One would guess: in KTAP a suite's result line stands for the whole suite, so "not ok 1 suite" fails the run, as any
#            reader of TAP has it. That line is all that tells of what fails outside of a case: an init, an exit, a leak.
# What happens: kunit.py prints the suite as [FAILED] and then counts cases only: "Ran 2 tests: passed: 2", exit
#            status 0. A suite without any case counts for itself, so the same line fails the run there. tap-parser
#            fails both.
# Why it matters: a harness that writes KTAP cannot tell of trouble of a whole suite by the suite's line. It has to be a case.
# Seen:
#   fails-with-cases: kunit.py 0 (passed: 2)  tap-parser 1
#   fails-alone:      kunit.py 1 (failed: 1)  tap-parser 1
#
# Exit status: 0 as described, 1 if that has changed, 3 if a package cannot be had. Downloads 140 MB.
set -euo pipefail
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
missing() { echo "cannot be had: $*" >&2; exit 3; }
cd "$scratch"
apt-get download -qq -o APT::Sandbox::User=root linux-source-6.1=6.1.176-1 >&2 || missing "linux-source-6.1 6.1.176-1"
(dpkg-deb --fsys-tarfile linux-source-6.1_*.deb | tar --extract --to-stdout --wildcards '*/linux-source-6.1.tar.xz' |
    tar --extract --xz --strip-components=1 --wildcards 'linux-source-6.1/tools/testing/kunit/*') || missing "kunit.py"
# Node.js knows only CAs of its own.
export NODE_EXTRA_CA_CERTS="${NODE_EXTRA_CA_CERTS:-/etc/ssl/certs/ca-certificates.crt}"
timeout 100 npm install --silent --no-audit --no-fund --prefix npm tap-parser@18.3.4 >&2 || missing "tap-parser 18.3.4"

cat >fails-with-cases.ktap <<'EOF'
KTAP version 1
1..1
    KTAP version 1
    # Subtest: suite
    1..2
    ok 1 first
    ok 2 second
not ok 1 suite
EOF
cat >fails-alone.ktap <<'EOF'
KTAP version 1
1..1
not ok 1 suite
EOF
for file in fails-with-cases fails-alone; do
    kunit=0
    python3 tools/testing/kunit/kunit.py parse "$file.ktap" >out 2>&1 || kunit=$?
    tap=0
    node npm/node_modules/tap-parser/bin/cmd.cjs <"$file.ktap" >/dev/null 2>&1 || tap=$?
    printf '%-17s kunit.py %s (%s)  tap-parser %s\n' "$file:" "$kunit" "$(sed -n 's/.*Ran .* tests: //p' out)" "$tap"
done | tee seen
diff - seen <<'EOF' || { echo "the behaviour has changed" >&2; exit 1; }
fails-with-cases: kunit.py 0 (passed: 2)  tap-parser 1
fails-alone:      kunit.py 1 (failed: 1)  tap-parser 1
EOF
