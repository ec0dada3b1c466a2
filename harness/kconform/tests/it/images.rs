//! Images that kconform was not built with: files of folders that the command line or the environment names.

use std::path::PathBuf;

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
