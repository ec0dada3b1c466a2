//! A KVM that is there and does not work, as a QEMU shows it that is made to: the guest is emulated, it is said why, and no
//! later run tries again.

use std::os::unix::fs::PermissionsExt;

use rstest::rstest;

use crate::guests::is_set_up;
use crate::program::{Place, not_here};

/// QEMU as it is, but for KVM: then it says something, and ends or sits there (with `-S`, its guest never runs).
const QEMU: &str = r#"#!/bin/sh
case " $* " in
*" -accel kvm "*)
    echo tried >>"$LOG"
    DO
    for word; do
        shift
        case $word in kvm) word=tcg ;; host) word=qemu64 ;; esac
        set -- "$@" "$word"
    done
    set -- "$@" -S
    ;;
esac
exec REAL "$@"
"#;

const CASES: &str = "cases:\n  - {name: healthy, steps: [{close: [99], errno: EBADF}]}\n";

#[rstest]
#[case::hangs(":", "its agent said nothing in 10 s")]
#[case::internal_error("echo 'KVM internal error. Suberror: 1' >&2", "KVM internal error. Suberror: 1")]
#[case::aborts(
    "echo 'qemu-system-x86_64: error: failed to set MSR 0x10a to 0x0' >&2; kill -ABRT $$",
    "failed to set MSR 0x10a to 0x0"
)]
#[case::ends("exit 1", "ran no guest: ")]
fn a_kvm_that_does_not_work_costs_one_attempt(#[case] does: &str, #[case] says: &str) {
    let arch = std::env::consts::ARCH;
    if arch != "x86_64" || !is_set_up(arch) {
        return;
    }
    if std::fs::OpenOptions::new().read(true).write(true).open("/dev/kvm").is_err() {
        return not_here("a KVM that does not work: there is none at all");
    }
    let path = std::env::var("PATH").expect("a path");
    let real = path.split(':').map(|folder| format!("{folder}/qemu-system-x86_64"));
    let real = real.into_iter().find(|file| std::path::Path::new(file).is_file()).expect("QEMU");
    let place = Place::with(CASES);
    let folder = |name: &str| place.folder().join(name);
    for name in ["cache", "programs"] {
        std::fs::create_dir(folder(name)).expect("a directory");
    }
    let kernels = kconform::inner::cache_dir().expect("a cache").join("kernels");
    std::os::unix::fs::symlink(kernels, folder("cache/kernels")).expect("a link");
    let program = folder("programs/qemu-system-x86_64");
    std::fs::write(&program, QEMU.replace("DO", does).replace("REAL", &real)).expect("a program");
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).expect("the mode is set");
    let text = |name: &str| folder(name).display().to_string();
    let (cache, log, programs) = (text("cache"), text("log"), text("programs"));
    let place =
        place.env("KCONFORM_CACHE", &cache).env("LOG", &log).env("PATH", &format!("{programs}:{path}"));
    let said = place.say(&["run", "--target", arch]).assert_status(0);
    let why = "emulated: /dev/kvm is there but ran no guest: ";
    assert!(said.out.contains(why) && said.out.contains(says), "{}", said.all());
    let again = place.say(&["run", "--target", arch]).assert_status(0);
    assert!(again.out.contains(why) && again.out.contains(says), "{}", again.all());
    assert_eq!(std::fs::read_to_string(&log).expect("a log"), "tried\n");
    let doctor = place.say(&["doctor"]);
    assert!(doctor.out.contains(says), "{}", doctor.all());
}
