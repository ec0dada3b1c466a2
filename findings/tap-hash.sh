#!/usr/bin/env bash
# A "#" in a test's name makes a failed test pass: with tap.py if it is escaped, with tap-parser if it is not.
#
# Versions:  tap-parser 18.3.4 (npm), tap.py 3.2.1 (PyPI)
# One would guess: TAP 14 writes a "#" of a name as "\#", so whoever writes that is safe, and a directive is " # TODO" or " # SKIP" as
#            a word of its own. Both readers take a run that begins with "TAP version 14".
# What happens: tap.py knows no escapes. "\# TODO" in a name is a directive to it, so the failed test is one that was expected to
#            fail, and the status is 0. tap-parser knows them, and takes anything that begins with the letters of a directive
#            for one, also without a space: a failed "queue #todo-list" or "a # todone" is expected to fail, status 0.
#            A real directive behind a bare "#12" is none to either.
# Why it matters: names are made of data, of options, macros (#define), issue numbers. Escaped or not, one of the readers calls a red
#            run green. Only a name without any "#" is read alike.
# Seen (what the reader's exit status says of the run):
#                                              tap-parser  tap.py
#   not ok 1 - works                           fails       fails
#   not ok 1 - works # TODO later              passes      passes
#   not ok 1 - reads \# TODO in a file         fails       passes
#   not ok 1 - reads \# SKIP in a file         fails       passes
#   not ok 1 - queue #todo-list                passes      fails
#   not ok 1 - a # todone                      passes      fails
#   not ok 1 - closes #12 # TODO later         fails       fails
#
# Exit status: 0 as described, 1 if that has changed, 3 if a package cannot be had.
set -euo pipefail
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
missing() { echo "cannot be had: $*" >&2; exit 3; }
cd "$scratch"
python3 -m venv python || missing "a virtual environment of Python"
python/bin/pip install --quiet --disable-pip-version-check tap.py==3.2.1 || missing "tap.py 3.2.1"
# Node.js knows only CAs of its own.
export NODE_EXTRA_CA_CERTS="${NODE_EXTRA_CA_CERTS:-/etc/ssl/certs/ca-certificates.crt}"
timeout 100 npm install --silent --no-audit --no-fund tap-parser@18.3.4 >&2 || missing "tap-parser 18.3.4"

says() { if "$@" >/dev/null 2>&1; then echo passes; else echo fails; fi; }
while read -r line; do
    printf '%s\n' "TAP version 14" "1..1" "$line" >one.tap
    printf '%-42s %-11s %s\n' "$line" "$(says node node_modules/tap-parser/bin/cmd.cjs <one.tap)" "$(says python/bin/tappy one.tap)"
done <<'EOF' | tee seen
not ok 1 - works
not ok 1 - works # TODO later
not ok 1 - reads \# TODO in a file
not ok 1 - reads \# SKIP in a file
not ok 1 - queue #todo-list
not ok 1 - a # todone
not ok 1 - closes #12 # TODO later
EOF
diff - seen <<'EOF' || { echo "the behaviour has changed" >&2; exit 1; }
not ok 1 - works                           fails       fails
not ok 1 - works # TODO later              passes      passes
not ok 1 - reads \# TODO in a file         fails       passes
not ok 1 - reads \# SKIP in a file         fails       passes
not ok 1 - queue #todo-list                passes      fails
not ok 1 - a # todone                      passes      fails
not ok 1 - closes #12 # TODO later         fails       fails
EOF
