//! Without privileges cases are skipped with the reason, and nothing fails.

use rstest::rstest;

use crate::program::{Place, Said, assert_said, in_a_chroot, is_root, not_here};

const NOBODY: &[&str] =
    &["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--inh-caps=-all"];
const ROOT_OF_A_NAMESPACE: &[&str] = &["unshare", "--user", "--map-root-user"];

/// Why a test cannot become this user here.
fn why_not(who: &[&str]) -> Option<&'static str> {
    if !is_root() {
        return Some("users without privileges: only root can become them");
    }
    (who == ROOT_OF_A_NAMESPACE && in_a_chroot())
        .then_some("root of a user namespace: this is a chroot, where none can be made")
}

fn run_as(who: &[&str], place: Place, arguments: &[&str]) -> Said {
    place.open_to_all().say_through(who, &[&["run", "--target", "native"], arguments].concat())
}

#[rstest]
#[case::nobody(NOBODY)]
#[case::root_of_a_namespace(ROOT_OF_A_NAMESPACE)]
fn the_project_s_cases_do_not_fail(#[case] who: &[&str]) {
    if let Some(why) = why_not(who) {
        return not_here(why);
    }
    let cases = concat!(env!("CARGO_MANIFEST_DIR"), "/../../cases");
    let place = Place::new();
    // The checkout may be closed to other users.
    let copied =
        std::process::Command::new("cp").args(["-r", cases]).arg(place.folder().join("here")).status();
    assert!(copied.expect("cp").success());
    // All of them need more than these users have: nothing is tested, which is not as if it were all right.
    let said = run_as(who, place, &[]).assert_status(3);
    assert!(said.out.contains("skipped:"), "{}", said.all());
    assert!(said.out.contains("error: nothing was tested: no case ran on any target"), "{}", said.all());
}

#[rstest]
#[case::nobody("nobody", NOBODY)]
#[case::root_of_a_namespace("root_of_a_namespace", ROOT_OF_A_NAMESPACE)]
fn what_is_missing_is_said(#[case] name: &str, #[case] who: &[&str]) {
    if let Some(why) = why_not(who) {
        return not_here(why);
    }
    let place = Place::with(
        "cases:
  - name: needs CAP_BPF
    requires: {capabilities: [CAP_BPF]}
    steps: &steps
      - close: [0]
  - name: needs two
    requires: {capabilities: [CAP_NET_ADMIN, CAP_BPF]}
    steps: *steps
  - name: becomes nobody
    steps:
      - unprivileged: *steps
  - name: becomes nobody with a capability
    steps:
      - unprivileged: {capabilities: [CAP_BPF], steps: *steps}
  - name: is for the unprivileged
    requires: {privileged: false}
    steps: *steps
  - name: is for anybody
    steps: *steps
",
    );
    assert_said!(format!("privileges_{name}"), run_as(who, place, &[]));
}

/// What a user may not look at is not said to be in order.
#[test]
fn leaks_that_cannot_be_looked_for_are_no_pass() {
    if let Some(why) = why_not(NOBODY) {
        return not_here(why);
    }
    let place = Place::with("cases:\n  - {name: one, steps: [{close: [0]}]}\n");
    assert_said!("privileges_leaks", run_as(NOBODY, place, &["--check-leaks"]));
}

/// Root of a user namespace in which there can be no namespaces of a kind (namespaces(7)).
const WITHOUT: &str = "echo 0 >/proc/sys/user/max_$0_namespaces && exec \"$@\"";

#[rstest]
#[case::mount("mnt", "cases have no namespaces of their own: unshare: errno 28")]
#[case::network("net", "cases share this machine's network namespace: unshare: errno 28")]
#[case::processes("pid", "cases share this machine's PID namespace: unshare: errno 28")]
fn namespaces_that_cannot_be_had_are_told_with_the_target(#[case] kind: &str, #[case] remark: &str) {
    if let Some(why) = why_not(ROOT_OF_A_NAMESPACE) {
        return not_here(why);
    }
    let place = Place::with("cases:\n  - {name: one, steps: [{close: [0]}]}\n");
    let who = [ROOT_OF_A_NAMESPACE, &["sh", "-c", WITHOUT, kind]].concat();
    let said = run_as(&who, place, &[]);
    assert!(said.out.contains(remark), "{}", said.all());
    assert_eq!(said.counts("native"), "1 passed", "{}", said.all());
}

/// A directory with all of the machine below it, which is no mount point: what debootstrap makes, say.
const CHROOT: &str = r#"
set -e
mount --make-rprivate /
here=$PWD root=$1
shift
for path in /*; do
    if [ -L "$path" ]; then
        cp -d "$path" "$root/"
    elif [ -d "$path" ]; then
        mkdir "$root$path"
        mount --rbind "$path" "$root$path"
    fi
done
exec chroot "$root" sh -c 'cd "$0" && exec "$@"' "$here" "$@"
"#;

/// There neither the mounts of `/` could be changed nor user namespaces be made.
#[test]
fn in_a_chroot_cases_have_a_root_of_their_own() {
    if !is_root() {
        return not_here("a chroot: only root can make one");
    }
    if in_a_chroot() {
        return not_here(
            "a chroot in a chroot: its mounts would be seen outside; all other native cases run in this one",
        );
    }
    let place = Place::with(
        "cases:
  - name: changes the mounts of the root
    steps:
      - unshare: [CLONE_NEWNS]
      - mount: [{str: none}, {str: /}, null, MS_REC | MS_PRIVATE, null]
  - name: makes a user namespace
    steps:
      - unshare: [CLONE_NEWUSER]
",
    );
    let root = place.folder().join("root");
    std::fs::create_dir(&root).expect("a directory");
    let root = root.to_str().expect("UTF-8").to_owned();
    let chroot = ["unshare", "--mount", "sh", "-c", CHROOT, "chroot", &root];
    let said = place.say_through(&chroot, &["run", "--target", "native"]).assert_status(0);
    assert_eq!(said.counts("native"), "2 passed", "{}", said.all());
}

/// Builds the program that puts others under a seccomp filter.
fn refuse(place: &Place) -> String {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/sandbox/refuse.c");
    let program = place.folder().join("refuse").display().to_string();
    let status = std::process::Command::new("cc").args(["-o", &program, source]).status();
    assert!(status.expect("a C compiler, which linking Rust needs too").success());
    program
}

/// The number of a system call here.
pub(crate) fn number(call: &str) -> String {
    let arch = kconform_abi::Arch::from_name(std::env::consts::ARCH).expect("an architecture of ours");
    arch.syscall(call).expect("a system call").to_string()
}

/// A sandbox is told as what it is, once, and no kernel is blamed for it.
#[rstest]
#[case::eperm("1", "EPERM")]
#[case::enosys("38", "ENOSYS")]
#[case::kill("kill", "its process is killed")]
fn what_a_sandbox_refuses_is_no_failure(#[case] action: &str, #[case] told: &str) {
    let place = Place::with(
        "cases:
  - name: makes a map
    steps: [{bpf: [BPF_MAP_CREATE, {map_type: BPF_MAP_TYPE_ARRAY, key_size: 4, value_size: 4, max_entries: 1}]}]
  - name: expects to be refused
    steps: [{fork: [{unprivileged: [{bpf: [99, {}, 8], errno: [EPERM, EINVAL]}]}]}]
  - name: needs none
    steps: [{close: [0]}]
",
    );
    let refuse = refuse(&place);
    let place = place.open_to_all();
    let said = place
        .say_through(&[&refuse, action, &number("bpf")], &["run", "--target", "native"])
        .assert_status(0);
    let reason = format!("bpf(2) is refused by a seccomp filter here: {told} (");
    assert_eq!(said.out.matches(&reason).count(), 1, "{}", said.all());
    assert!(said.out.contains("or run a guest): 2 on native"), "{}", said.all());
    assert!(said.out.contains("(leaks cannot be looked for: bpf(2) is refused)"), "{}", said.all());
    assert_eq!(said.counts("native"), "1 passed, 2 skipped", "{}", said.all());
}

/// The project's cases under what the default filters of container engines refuse.
#[test]
fn in_a_sandbox_the_project_s_cases_do_not_fail() {
    let cases = concat!(env!("CARGO_MANIFEST_DIR"), "/../../cases");
    let place = Place::new();
    let refuse = refuse(&place);
    let calls =
        ["bpf", "perf_event_open", "mount", "umount2", "unshare", "setns", "keyctl", "add_key", "kcmp"];
    let calls = calls.map(number).join(",");
    let said = place.say_through(&[&refuse, "1", &calls], &["run", "--target", "native", "--cases", cases]);
    assert!(
        !said.out.contains("FAILED") && said.out.contains("bpf(2) is refused by a seccomp filter here"),
        "{}",
        said.all()
    );
    assert!(said.out.contains(" passed"), "cases that need no bpf(2): {}", said.all());
}

/// A chroot in which nobody has mounted anything, as far as cases see it: /proc they have from the agent.
#[rstest]
#[case::no_sys("mount -t tmpfs none /sys")]
#[case::neither("mount -t tmpfs none /sys && mount -t tmpfs none /proc")]
fn in_an_empty_root_nothing_is_tested(#[case] mounts: &str) {
    if !is_root() || in_a_chroot() {
        return not_here("a root without /sys: only root can make one, outside of a chroot");
    }
    let place = Place::with("cases:\n  - {name: one, steps: [{close: [0]}]}\n");
    let script = format!("{mounts} && exec \"$@\"");
    let said = place
        .say_through(&["unshare", "--mount", "sh", "-c", &script, "sh"], &["run", "--target", "native"])
        .assert_status(3);
    let reason = "there is no /sys in this root (mount it in a chroot, or run outside of it): 1 on native";
    assert!(said.out.contains(reason), "{}", said.all());
}
