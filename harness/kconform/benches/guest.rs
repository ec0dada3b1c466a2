//! How long it takes from starting kconform to the first verdict that it prints of a guest: booted, and restored. Beside it a
//! bare static init that powers off at once, booted by the same QEMU command line, and what `VIRTME_NG` names (ci/bench
//! sets it): a command that runs `uname -r` in a guest of the x86_64 kernel, or words that say why there is none. All
//! take turns, so that other load meets all of them. `cargo bench --bench guest [-- IMAGE…]`.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use kconform::inner::{BootSpec, CachedKernel, Guest, Hears, Image, Images, cache_dir, cached};

const ROUNDS: usize = 5;

/// Goals: seconds from a snapshot, times faster than a boot, times a bare init's boot.
const WARM: f64 = 0.15;
const FASTER: f64 = 15.0;
const OVER_BARE: f64 = 1.15;

const CASE: &str = "cases:\n  - {name: one, steps: [{dup: [0], save: fd}, {close: [$fd]}]}\n";

/// The least that can be booted. Static glibc, as the agent has it, so that the two are about equally large.
const INIT: &str = "#include <sys/reboot.h>\nint main(void) { return reboot(RB_POWER_OFF); }\n";

/// Builds the init for an architecture with the C compiler that `ci/setup` installs.
fn build_init(arch: &str, folder: &Path) -> Result<PathBuf, String> {
    let own = arch == std::env::consts::ARCH;
    let compiler = if own { "cc".to_owned() } else { format!("{arch}-linux-gnu-gcc") };
    let (source, init) = (folder.join("init.c"), folder.join(format!("init-{arch}")));
    std::fs::write(&source, INIT).map_err(|error| error.to_string())?;
    let built = Command::new(&compiler).args(["-static", "-O2", "-o"]).arg(&init).arg(&source).status();
    match built {
        Ok(status) if status.success() => Ok(init),
        Ok(status) => Err(format!("{compiler}: {status}")),
        Err(error) => Err(format!("{compiler}: {error}")),
    }
}

/// What is measured of an image.
struct Bench<'a> {
    image: &'a Image,
    kernel: CachedKernel,
    init: PathBuf,
    /// A cache of our own, in which there are the kernels of the user's, and no snapshots.
    cache: PathBuf,
    suite: PathBuf,
}

impl Bench<'_> {
    /// From nothing to the end of a guest whose init powers off at once.
    fn bare(&self) -> Duration {
        let (image, kernel, cache) = (self.image, &self.kernel, self.cache.as_path());
        let spec = BootSpec { image, kernel, agent: &self.init, cache, cmdline: &[], hears: Hears::NOBODY };
        let begun = Instant::now();
        let booted = Guest::boot(&spec);
        let elapsed = begun.elapsed();
        assert!(booted.is_err(), "an init that powers off has said something");
        elapsed
    }

    /// From starting kconform to its first verdict, which is the first that it prints.
    fn kconform(&self, options: &[&str]) -> Duration {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kconform"));
        command.args(["run", "--quiet", "--target", &self.image.name]).args(options);
        command.arg("--cases").arg(&self.suite);
        until_it_speaks(command.env("KCONFORM_CACHE", &self.cache))
    }

    fn forget_snapshots(&self) {
        // There may be none.
        let _ = std::fs::remove_dir_all(self.cache.join("snapshots"));
    }

    fn run(&self) {
        // Finds out about KVM, once.
        self.kconform(&["--cold"]);
        let virtme_ng = if self.image.answers_to("x86_64") { virtme_ng() } else { Err(None) };
        let mut times: [Vec<Duration>; 5] = Default::default();
        for _ in 0..ROUNDS {
            times[0].push(self.bare());
            times[1].push(self.kconform(&["--cold"]));
            self.forget_snapshots();
            times[2].push(self.kconform(&[]));
            times[3].push(self.kconform(&[]));
            if let Ok(program) = &virtme_ng {
                times[4].push(timed(&mut Command::new(program)));
            }
        }
        let [bare, cold, making, warm, theirs] = times.map(|times| median(times).as_secs_f64());
        println!("{}: medians of {ROUNDS} rounds, in turns", self.image.name);
        let line = |name: &str, time: f64, says: String| println!("  {name:<58} {time:>6.2} s   {says}");
        line("a bare static init, until it has powered off", bare, String::new());
        let over = cold / bare;
        let goal = goal(over <= OVER_BARE, format!("at most {OVER_BARE:.2}"));
        line("kconform run --cold, to the first verdict", cold, format!("{over:.2} x the bare init; {goal}"));
        line(
            "the same with an empty cache: it makes a snapshot as well",
            making,
            format!("{:.2} x", making / bare),
        );
        let says = self::goal(warm <= WARM, format!("at most {WARM:.2} s"));
        line("the same from the snapshot", warm, says);
        let (faster, faster_empty) = (cold / warm, making / warm);
        let says = self::goal(faster >= FASTER, format!("at least {FASTER:.0}"));
        println!(
            "  {:<58} {faster:>6.1} x   {says} (than with an empty cache: {faster_empty:.1} x)",
            "faster than --cold"
        );
        match virtme_ng {
            Ok(_) => {
                line("virtme-ng, uname -r on the same kernel", theirs, format!("{:.1} x warm", theirs / warm))
            }
            Err(Some(why)) => println!("  virtme-ng was not run: {why}"),
            Err(None) => {}
        }
    }
}

fn goal(met: bool, goal: String) -> String {
    format!("goal: {goal}: {}", if met { "met" } else { "MISSED" })
}

/// The command that has virtme-ng run `uname -r`, or why there is none.
fn virtme_ng() -> Result<PathBuf, Option<String>> {
    let word = std::env::var("VIRTME_NG").unwrap_or_else(|_| "ci/bench prepares it".to_owned());
    let program = PathBuf::from(&word);
    if !program.is_file() {
        return Err(Some(word));
    }
    match Command::new(&program).stdin(Stdio::null()).output() {
        Ok(output) if output.status.success() => Ok(program),
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            Err(Some(format!("it did not work here: {}", text.trim().lines().last().unwrap_or_default())))
        }
        Err(error) => Err(Some(error.to_string())),
    }
}

/// How long a command takes to print something. It must end well later.
fn until_it_speaks(command: &mut Command) -> Duration {
    let begun = Instant::now();
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("it can be started");
    let mut printed = child.stdout.take().expect("a pipe");
    printed.read_exact(&mut [0]).expect("it prints something");
    let elapsed = begun.elapsed();
    std::io::copy(&mut printed, &mut std::io::sink()).expect("it can be read");
    let status = child.wait().expect("it ends");
    assert!(status.success(), "{command:?}: {status}");
    elapsed
}

fn timed(command: &mut Command) -> Duration {
    let begun = Instant::now();
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status().expect("it can be started");
    let elapsed = begun.elapsed();
    assert!(status.success(), "{command:?}: {status}");
    elapsed
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn main() {
    let names: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let names = if names.is_empty() { vec!["x86_64".into(), "riscv64".into()] } else { names };
    let images = Images::built_in().expect("the images are right");
    let users = cache_dir().expect("a cache");
    let folder = tempfile::tempdir().expect("a directory");
    let (cache, suite) = (folder.path().join("cache"), folder.path().join("suite.yaml"));
    std::fs::create_dir(&cache).expect("a directory");
    std::os::unix::fs::symlink(users.join("kernels"), cache.join("kernels")).expect("a link");
    std::fs::write(&suite, CASE).expect("a file");
    for name in names {
        let Some(image) = images.iter().find(|image| image.answers_to(&name)) else {
            println!("{name}: there is no such image");
            continue;
        };
        let kernel = cached(image, &cache).ok().flatten();
        let init = build_init(image.arch.name(), folder.path());
        match (kernel, init) {
            (Some(kernel), Ok(init)) => {
                Bench { image, kernel, init, cache: cache.clone(), suite: suite.clone() }.run();
            }
            (None, _) => println!("{name}: not measured: its kernel is not fetched (ci/setup)"),
            (_, Err(why)) => println!("{name}: not measured: {why}"),
        }
    }
}
