//! How long it takes from starting kconform to the first verdict in a guest, beside a bare static init that powers off
//! at once, booted by the same QEMU command line in the same run. Without a snapshot it is to be at most 1.25 times
//! that. `cargo bench --bench guest [-- IMAGE…]`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use kconform::guest::cache::cached;
use kconform::guest::{BootSpec, CachedKernel, Guest, Image, Images, cache_dir};

const ROUNDS: usize = 7;

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
        let spec = BootSpec { image, kernel, agent: &self.init, cache, cmdline: &[] };
        let begun = Instant::now();
        let booted = Guest::boot(&spec);
        let elapsed = begun.elapsed();
        assert!(booted.is_err(), "an init that powers off has said something");
        elapsed
    }

    /// From starting kconform to its end, after its first verdict.
    fn kconform(&self, snapshots: &str) -> Duration {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kconform"));
        command.args(["run", "--quiet", "--target", &self.image.name, "--cases"]).arg(&self.suite);
        command.env("KCONFORM_CACHE", &self.cache).env("KCONFORM_SNAPSHOTS", snapshots).stdout(Stdio::null());
        let begun = Instant::now();
        let status = command.status().expect("kconform can be started");
        let elapsed = begun.elapsed();
        assert!(status.success(), "{status}");
        elapsed
    }

    fn forget_snapshots(&self) {
        // There may be none.
        let _ = std::fs::remove_dir_all(self.cache.join("snapshots"));
    }

    fn run(&self) {
        // Finds out about KVM, once.
        self.kconform("off");
        let mut times: [Vec<Duration>; 4] = Default::default();
        // In turns, so that other load meets all of them.
        for _ in 0..ROUNDS {
            times[0].push(self.bare());
            times[1].push(self.kconform("off"));
            self.forget_snapshots();
            times[2].push(self.kconform("on"));
            times[3].push(self.kconform("on"));
        }
        let names = [
            "a bare static init, until it has powered off",
            "kconform run to its first verdict, booting",
            "kconform run to its first verdict, booting and making a snapshot",
            "kconform run to its first verdict, from the snapshot",
        ];
        let times = times.map(median);
        for (name, time) in names.iter().zip(times) {
            let ratio = time.as_secs_f64() / times[0].as_secs_f64();
            println!("{}, {name}: {:.2} s = {ratio:.2} x", self.image.name, time.as_secs_f64());
        }
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
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
        let Some(image) = images.iter().find(|image| image.names().any(|other| other == name)) else {
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
