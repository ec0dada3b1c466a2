#![allow(clippy::unwrap_used)]

use std::fs;
use std::process::Command;
use std::time::Duration;

use super::apt::Package;
use super::error::FetchError;
use super::once_in_sync;
use super::packages::{first_that_is_there, older_kernels};
use super::unpack::{lay_out, unpack};
use crate::guest::image::Images;
use crate::guest::image::{DebianKernel, KernelSource};

#[test]
fn a_package_that_is_none_is_told_in_dpkgs_words() {
    if Command::new("dpkg-deb").arg("--version").output().is_err() {
        crate::not_tested::not_tested("dpkg-deb, which is not here");
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let package = place.path().join("x.deb");
    fs::write(&package, "no package").unwrap();
    let error = unpack(&package, &[], place.path()).unwrap_err().to_string();
    insta::assert_snapshot!(error.replace(&*place.path().to_string_lossy(), "[place]"));
}

#[test]
fn a_full_disk_is_known_by_what_programs_say() {
    let told = [
        "tar: boot/vmlinuz: Cannot write: No space left on device",
        "E: You don't have enough free space in /var/cache/apt/archives/.",
        "E: Unable to locate package linux-image-x",
    ];
    let told = told.map(|text| FetchError::of_command("apt-get download x".into(), text.into()).to_string());
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn older_kernels_are_those_of_the_series() {
    let names = [
        "linux-image-6.12.107+deb13-s390x",
        "linux-image-6.12.95+deb13-s390x",
        "linux-image-6.12.117+deb13-s390x",
        "linux-image-6.12.118+deb13-s390x",
        "linux-image-6.12.107+deb13-s390x-dbg",
        "linux-image-6.12.107+deb13-amd64",
        "linux-image-6.11.3+deb13-s390x",
        "linux-headers-6.12.107+deb13-s390x",
        "linux-image-6.1.0-9-amd64",
        "linux-image-6.1.0-47-amd64",
    ];
    let names = names.map(str::to_owned);
    let older = |name: &str| older_kernels(name, &names);
    assert_eq!(older("linux-image-6.12.117+deb13-s390x"), [names[0].as_str(), &names[1]]);
    assert_eq!(older("linux-image-6.1.0-50-amd64"), [names[9].as_str(), &names[8]]);
    assert_eq!(older("linux-binary-7.2.13+deb14-amd64"), [""; 0]);
}

/// What is told of fetching x-3 with x-2 and x-1 behind it, from a mirror that has some of them.
fn taken(answers: &[(&str, &str)]) -> String {
    let package = |name: &str| Package {
        name: name.into(),
        version: "1".into(),
        depends: Vec::new(),
        size: 1,
        sha256: "ab".into(),
    };
    let mut told = Vec::new();
    let taken = first_that_is_there(
        package("x-3"),
        |_| Ok(vec![package("x-2"), package("x-1")]),
        |package, _| match answers.iter().find(|(name, _)| *name == package.name) {
            Some((_, text)) => Err(FetchError::of_command("apt-get download".into(), (*text).into())),
            None => Ok(()),
        },
        &mut |progress| told.push(format!("{progress:?}")),
    );
    told.push(taken.map_or_else(|error| error.to_string(), |package| package.name));
    told.join("\n")
}

#[test]
fn an_older_kernel_is_taken_when_the_mirror_has_not_the_newest() {
    const GONE: &str = "E: Failed to fetch http://mirror/x.deb  404  Not Found";
    let told = [
        taken(&[]),
        taken(&[("x-3", GONE)]),
        taken(&[("x-3", GONE), ("x-2", GONE)]),
        taken(&[("x-3", GONE), ("x-2", "E: Connection failed")]),
        taken(&[("x-3", GONE), ("x-2", GONE), ("x-1", GONE)]),
        taken(&[("x-3", "E: Connection failed")]),
    ];
    insta::assert_snapshot!(told.join("\n\n"));
}

/// What is told of a package list for which apt says these things, one after another, and then nothing.
fn updated(says: &[&str]) -> String {
    let (mut says, mut told) = (says.iter(), Vec::new());
    let update = || match says.next() {
        Some(text) => Err(FetchError::of_command("apt-get update".into(), (*text).into())),
        None => Ok(()),
    };
    let updated = once_in_sync("trixie", &[Duration::ZERO; 2], update, &mut |progress| {
        told.push(format!("{progress:?}"));
    });
    told.push(updated.map_or_else(|error| error.to_string(), |()| "read".to_owned()));
    told.join("\n")
}

#[test]
fn a_mirror_in_the_middle_of_an_update_is_asked_again() {
    const SIZE: &str = "E: Failed to fetch http://mirror/Packages.xz  File has unexpected size (9 != 8). Mirror sync in progress?";
    const HASH: &str = "E: Failed to fetch http://mirror/Packages.xz  Hash Sum mismatch";
    let told =
        [updated(&[]), updated(&[SIZE, HASH]), updated(&[SIZE, "E: Connection failed"]), updated(&[SIZE; 3])];
    insta::assert_snapshot!(told.join("\n\n"));
}

#[test]
fn what_a_package_lacks_is_named() {
    let images = Images::built_in().unwrap();
    let image = images.find("riscv64").unwrap();
    let KernelSource::Debian(wanted) = &image.kernel else { panic!("a file") };
    let wanted = DebianKernel { modules: vec!["virtio_console".into()], ..wanted.clone() };
    let package = Package {
        name: "linux-image-x".into(),
        version: "1".into(),
        depends: Vec::new(),
        size: 1,
        sha256: "ab".into(),
    };
    let lacks = |files: &[&str]| {
        let place = tempfile::tempdir().unwrap();
        let unpacked = place.path().join("unpacked");
        fs::create_dir(&unpacked).unwrap();
        for file in files {
            fs::write(unpacked.join(file), "").unwrap();
        }
        lay_out(image, &package, &wanted, &unpacked, place.path().join("ready")).unwrap_err().to_string()
    };
    let told = [lacks(&[]), lacks(&["vmlinuz-new"]), lacks(&["vmlinuz-6.12"])];
    insta::assert_snapshot!(told.join("\n"));
}
