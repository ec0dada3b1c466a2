#!/usr/bin/env bash
# git bisect run: a script that dies by a signal ends it with 256 less its status; a command that is not found is a bad commit.
#
# Versions:  git 1:2.39.5-0+deb12u3 (Debian)
# One would guess: the manual says that a status above 127 ends the bisection, so `git bisect run` ends with that status; and
#            since git 2.36 it notices 126 and 127, what a shell says when it cannot start a command, and stops instead of
#            calling every commit bad.
# What happens: the status is negated on its way out. A test that gets SIGSEGV (139 in the shell) makes `git bisect run` end with
#            117; 131, a SIGQUIT, makes it 125, which to an outer script is "skip", and 129, a SIGHUP, 127. Of 126 and 127
#            git makes sure only once, for the first commit that it tests: it runs the script on a good commit too, and if
#            that says another status, or if the first commit said another, each 127 from there on is "bad". A tool that is
#            missing in some commits is then the first bad commit, and the status is 0.
# Why it matters: a test that dies where the kernel or the compiler is broken is just what one bisects. Wrap it: turn statuses
#            above 127 into 1, and 126 and 127 into 125.
# Seen, 16 commits, the script fails from the 10th on:
#   status 1:                        first bad is c10, git bisect run says 0
#   SIGSEGV (139):                   no first bad,     git bisect run says 117
#   SIGQUIT (131):                   no first bad,     git bisect run says 125
#   SIGHUP (129):                    no first bad,     git bisect run says 127
#   tool is missing from c10 on:     first bad is c10, git bisect run says 0
#   tool is missing in all commits:  no first bad,     git bisect run says 1
#
# Exit status: 0 as described, 1 if that has changed, 3 if a package cannot be had.
set -euo pipefail
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
missing() { echo "cannot be had: $*" >&2; exit 3; }
cd "$scratch"
(apt-get download -qq -o APT::Sandbox::User=root git=1:2.39.5-0+deb12u3 >&2 && dpkg-deb -x git_*.deb debian) ||
    missing "git 1:2.39.5-0+deb12u3"
export GIT_EXEC_PATH="$scratch/debian/usr/lib/git-core" GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@example.org GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@example.org
PATH="$scratch/debian/usr/bin:$PATH"
git --version | grep --quiet ' 2\.39\.5$' || missing "git 2.39.5 does not run"

git init --quiet repository
cd repository
for i in {1..16}; do
    echo "$i" >number
    git add number
    git commit --quiet --message "c$i"
done
# bisect LABEL COMMAND: the command is for a shell that git starts.
bisect() {
    git bisect start HEAD HEAD~15 >/dev/null 2>&1
    local status=0 first
    git bisect run sh -c "$2" >out 2>&1 || status=$?
    first="no first bad"
    if grep --quiet 'is the first bad commit' out; then
        first="first bad is $(git log --format=%s -1 refs/bisect/bad)"
    fi
    printf '%-32s %-17s git bisect run says %s\n' "$1:" "$first," "$status"
    git bisect reset >/dev/null 2>&1
}
# shellcheck disable=SC2016 # git's shell expands them
{
    bisect "status 1" 'test "$(cat number)" -lt 10'
    bisect "SIGSEGV (139)" 'ulimit -c 0; test "$(cat number)" -lt 10 || sh -c "kill -SEGV \$\$"'
    bisect "SIGQUIT (131)" 'ulimit -c 0; test "$(cat number)" -lt 10 || sh -c "kill -QUIT \$\$"'
    bisect "SIGHUP (129)" 'test "$(cat number)" -lt 10 || sh -c "kill -HUP \$\$"'
    bisect "tool is missing from c10 on" 'test "$(cat number)" -lt 10 || ./no-such-tool'
    bisect "tool is missing in all commits" './no-such-tool'
} | tee ../seen
diff - ../seen <<'EOF' || { echo "the behaviour has changed" >&2; exit 1; }
status 1:                        first bad is c10, git bisect run says 0
SIGSEGV (139):                   no first bad,     git bisect run says 117
SIGQUIT (131):                   no first bad,     git bisect run says 125
SIGHUP (129):                    no first bad,     git bisect run says 127
tool is missing from c10 on:     first bad is c10, git bisect run says 0
tool is missing in all commits:  no first bad,     git bisect run says 1
EOF
