//! Images that kconform was not built with: files of folders that the command line or the environment names.

use std::path::{Path, PathBuf};

use rstest::rstest;

use crate::guests::is_set_up;
use crate::program::{Place, not_here};

/// An image whose kernel is a file.
fn image(about: &str, kernel: &str) -> String {
    format!("about: {about}\narch: x86_64\nkernel: {{path: {kernel}}}\nmachine: q35\nconsole: ttyS0\n")
}

/// Two folders, one of which has an image that kconform has, too.
fn folders() -> Place {
    let of_debian = "about: mine\narch: x86_64\nkernel: {debian: {suite: sid, package: linux-image-amd64}}\n\
                     machine: q35\nconsole: ttyS0\n";
    Place::new()
        .file("boards/board.yaml", &image("A board's kernel.", "Image"))
        .file("boards/README.md", "not an image")
        .file("others/x86_64-6.1.yaml", of_debian)
}

/// What `image list` says of an image.
fn about(place: &Place, arguments: &[&str], name: &str) -> Option<String> {
    let said = place.say(&[&["image", "list"], arguments].concat()).assert_status(0);
    let line = said.out.lines().find(|line| line.split([' ', ',']).next() == Some(name))?;
    line.rsplit("  ").next().map(str::to_owned)
}

#[rstest]
#[case::none("", None, [false, false])]
#[case::an_option("", Some("boards"), [true, false])]
#[case::a_variable("boards:others", None, [true, true])]
#[case::both("others", Some("boards"), [true, true])]
fn the_images_of_folders_are_beside_kconforms_own(
    #[case] variable: &str,
    #[case] option: Option<&str>,
    #[case] found: [bool; 2],
) {
    let place = folders().env("KCONFORM_IMAGES", variable);
    let arguments: Vec<&str> = option.iter().flat_map(|folder| ["--images", folder]).collect();
    let of = |name: &str| about(&place, &arguments, name);
    assert_eq!([of("board").is_some(), of("x86_64-6.1").as_deref() == Some("mine")], found);
    assert!(of("riscv64-6.12").is_some());
}

/// Without a name, `image fetch` means the images of the folder that the command line names.
#[test]
fn a_fetch_without_names_is_of_the_folder() {
    let place = folders();
    let said = place.say(&["image", "fetch", "--images", "boards"]).assert_status(0);
    assert_eq!(said.out, "no image has a kernel to fetch\n");
}

#[rstest]
#[case::not_there("nowhere")]
#[case::empty("empty")]
#[case::not_an_image("wrong")]
fn a_folder_that_has_no_images_is_a_mistake(#[case] folder: &str) {
    let place = Place::new().file("empty/README.md", "").file("wrong/x.yaml", "about: x\narch: z80\n");
    let by_option = place.say(&["run", "--images", folder, "--target", "x86_64"]).assert_status(2);
    let by_variable =
        place.env("KCONFORM_IMAGES", folder).say(&["run", "--target", "x86_64"]).assert_status(2);
    assert_eq!(by_option.err, by_variable.err);
    insta::assert_snapshot!(format!("a_folder_that_has_no_images_is_a_mistake@{folder}"), by_option.err);
}

/// Nothing of them is read: a device has no end, and a FIFO waits for a writer.
#[rstest]
#[case::kernel(
    "boards/x.yaml",
    "path: /dev/zero",
    "boards/x.yaml:3:16: `path` names /dev/zero: it is a character device, not a regular file"
)]
#[case::kernel_fifo(
    "boards/x.yaml",
    "path: fifo",
    "boards/x.yaml:3:16: `path` names boards/fifo: it is a FIFO, not a regular file"
)]
#[case::config(
    "boards/x.yaml",
    "path: Image, config: .",
    "boards/x.yaml:3:31: `config` names boards/.: it is a folder, not a regular file"
)]
#[case::image("boards/README", "path: Image", "boards/fifo.yaml: it is a FIFO, not a regular file")]
fn what_has_no_end_is_no_file_of_an_image(#[case] file: &str, #[case] kernel: &str, #[case] told: &str) {
    let text = image("A board's kernel.", "KERNEL").replace("path: KERNEL", kernel);
    let place = Place::new().file(file, &text);
    let name = if file == "boards/README" { "boards/fifo.yaml" } else { "boards/fifo" };
    fifo(&place.here().join(name));
    for command in
        [&["image", "list", "--images", "boards"][..], &["run", "--images", "boards", "--target", "x86_64"]]
    {
        let said = place.say(command).assert_status(2);
        assert!(said.err.contains(told), "{}", said.err);
    }
}

#[rstest]
#[case::device("/dev/zero", "/dev/zero: it is a character device, not a regular file")]
#[case::fifo("fifo", "fifo: it is a FIFO, not a regular file")]
fn what_has_no_end_is_no_case_file(#[case] path: &str, #[case] told: &str) {
    let place = Place::new();
    fifo(&place.here().join("fifo"));
    for command in [&["check", path][..], &["list", "--cases", path], &["run", "--cases", path]] {
        let said = place.say(command).assert_status(2);
        assert!(said.err.contains(told), "{command:?}: {}", said.err);
    }
}

/// In a folder it is a mistake beside those of other files.
#[test]
fn a_fifo_in_a_folder_of_cases_is_a_mistake() {
    let place =
        Place::new().file("mine/a.yaml", "cases:\n  - name: a case\n    steps:\n      - cloze: [0]\n");
    fifo(&place.here().join("mine/fifo.yaml"));
    let said = place.say(&["check", "mine"]).assert_status(2);
    for told in ["mine/fifo.yaml:1:1", "it is a FIFO, not a regular file", "cloze"] {
        assert!(said.all().contains(told), "{}", said.all());
    }
}

fn fifo(path: &Path) {
    let mode = rustix::fs::Mode::RUSR;
    rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, mode, 0).expect("made");
}

/// A copy of an image under another name boots, without a line of Rust.
#[test]
fn an_image_of_a_folder_boots() {
    if !is_set_up("x86_64") {
        return;
    }
    let cache = kconform::inner::cache_dir().expect("a cache");
    let kernel: PathBuf = cache.join("kernels/x86_64-6.12/vmlinuz");
    if !kernel.is_file() {
        return not_here("the kernel of x86_64-6.12 is not here");
    }
    let case = "cases:\n  - name: a process has an id\n    guest_only: true\n    steps:\n      - getpid: []\n        ret: {min: 2}\n";
    let place = Place::with(case)
        .file("boards/board.yaml", &image("A board's kernel.", &kernel.display().to_string()))
        .env("KCONFORM_IMAGES", "boards");
    let said = place.say(&["run", "--target", "board", "--cold"]).assert_status(0);
    assert!(said.out.contains("1 passed"), "{}", said.all());
}
