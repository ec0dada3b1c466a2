//! The agent as PID 1 of a guest: mounts, the port to the host, and the power switch.

use crate::case::apart::Place;
use crate::facts::settings;
use crate::session::session;
use crate::signals::Signals;
use crate::start::modules;
use crate::start::setup;
use crate::stream::{Kind, Stream};
use crate::traces::look::Namespaces;
use crate::trouble::{Failed, failed};
use crate::{panic, sys};

/// The virtio-serial port to the host.
const PORT: &str = "org.kconform.agent";
/// The driver of such ports.
const DRIVER: &str = "/sys/bus/virtio/drivers/virtio_console";
/// Names, in the kernel's command line and so in init's environment, the serial port to the host where there is no
/// virtio: `ttyS1`.
const SERIAL: &str = "KCONFORM_PORT";
/// Where cases may leave files.
const SCRATCH: &str = "/tmp/kconform";
/// How long to wait for the port, and from when on any port will do (one without a name, say).
const PATIENCE_NS: u64 = 20_000_000_000;
const ANY_PORT_NS: u64 = 2_000_000_000;
/// From when on there will be no virtio device if there is none yet.
const NO_DEVICE_NS: u64 = 3_000_000_000;
const PAUSE_NS: u64 = 2_000_000;

/// A file system of every guest.
struct Mount {
    kind: &'static str,
    target: &'static str,
    flags: libc::c_ulong,
    data: &'static str,
}

const SAFE: libc::c_ulong = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;

const MOUNTS: &[Mount] = &[
    Mount { kind: "proc", target: "/proc", flags: SAFE, data: "" },
    Mount { kind: "sysfs", target: "/sys", flags: SAFE, data: "" },
    Mount { kind: "devtmpfs", target: "/dev", flags: libc::MS_NOSUID, data: "mode=0755" },
    Mount {
        kind: "devpts",
        target: "/dev/pts",
        flags: libc::MS_NOSUID | libc::MS_NOEXEC,
        data: "mode=0620,ptmxmode=0666",
    },
    Mount { kind: "tmpfs", target: "/dev/shm", flags: libc::MS_NOSUID | libc::MS_NODEV, data: "mode=1777" },
    Mount { kind: "bpf", target: "/sys/fs/bpf", flags: SAFE, data: "mode=0700" },
    Mount { kind: "cgroup2", target: "/sys/fs/cgroup", flags: SAFE, data: "" },
    Mount { kind: "debugfs", target: "/sys/kernel/debug", flags: SAFE, data: "" },
    Mount { kind: "tracefs", target: "/sys/kernel/tracing", flags: SAFE, data: "" },
    Mount { kind: "tmpfs", target: "/tmp", flags: libc::MS_NOSUID | libc::MS_NODEV, data: "mode=1777" },
    Mount { kind: "tmpfs", target: "/run", flags: libc::MS_NOSUID | libc::MS_NODEV, data: "mode=0755" },
];

/// Serves the host as PID 1, then powers the guest off.
pub fn init() -> ! {
    panic::set_hook();
    let mut remarks = Vec::new();
    mount_all(MOUNTS, &mut remarks);
    open_console();
    modules::load_all(&mut remarks);
    if let Err(text) = run(remarks) {
        panic::fail(&text);
    }
    let errno = sys::power_off();
    panic::say(&format!("power off: errno {errno}"));
    loop {
        sys::pause_ns(u64::MAX / 2);
    }
}

fn run(remarks: Vec<String>) -> Result<(), Failed> {
    let (port, kind) = match std::env::var(SERIAL) {
        Ok(name) => (open_serial(&name)?, Kind::Serial),
        Err(_) => (open_port()?, Kind::Port),
    };
    panic::tell_host(port);
    let signals = Signals::take().map_err(failed("signalfd"))?;
    let cases = setup::cases(signals, SCRATCH, Place::Guest, Namespaces::now().shared(true))?;
    setup::null_stdio()?;
    session(Stream::new(port, port, kind, signals), cases, settings::sysctls(), remarks)
}

fn mount_all(mounts: &[Mount], remarks: &mut Vec<String>) {
    for Mount { kind, target, flags, data } in mounts {
        let _ = sys::make_dir(&sys::c_string(target), 0o755);
        if let Err(errno) = sys::mount(kind, target, kind, *flags, data) {
            remarks.push(format!("mount {kind} on {target}: errno {errno}"));
        }
    }
}

/// Puts the console at fds 0 to 2 and keeps it for messages.
fn open_console() {
    let Ok(console) = sys::open(c"/dev/console", libc::O_RDWR | libc::O_NOCTTY) else { return };
    let kept = sys::fcntl(console, libc::F_DUPFD_CLOEXEC, 3);
    for fd in 0..=2 {
        let _ = sys::dup_to(console, fd);
    }
    if console > 2 {
        sys::close(console);
    }
    panic::tell_people(kept.unwrap_or(2));
}

/// Opens a serial port, and makes it carry bytes as they are.
fn open_serial(name: &str) -> Result<i32, Failed> {
    let path = sys::c_string(&format!("/dev/{name}"));
    let fd = sys::open(&path, libc::O_RDWR | libc::O_NOCTTY).map_err(failed(name))?;
    sys::make_raw(fd).map_err(failed(name))?;
    Ok(fd)
}

/// Opens the port as soon as it is there: the host tells its name after the device has appeared.
fn open_port() -> Result<i32, Failed> {
    if sys::stat(&sys::c_string(DRIVER)).is_err() {
        return Err("no virtio-serial port: the kernel has no virtio_console (CONFIG_VIRTIO_CONSOLE)".into());
    }
    let began = sys::now();
    loop {
        let waited = sys::now() - began;
        if let Some(device) = find_port(waited > ANY_PORT_NS)
            && let Ok(fd) = sys::open(&sys::c_string(&format!("/dev/{device}")), libc::O_RDWR)
        {
            return Ok(fd);
        }
        let hopeless = waited > NO_DEVICE_NS && is_empty("/sys/bus/virtio/devices");
        if waited > PATIENCE_NS || hopeless {
            return Err(format!("no virtio-serial port: none is named {PORT} (CONFIG_VIRTIO_PCI, or _CCW?)"));
        }
        sys::pause_ns(PAUSE_NS);
    }
}

fn is_empty(folder: &str) -> bool {
    std::fs::read_dir(folder).map_or(true, |mut entries| entries.next().is_none())
}

fn find_port(any: bool) -> Option<String> {
    let ports = std::fs::read_dir("/sys/class/virtio-ports").ok()?;
    let mut devices = ports.flatten().filter_map(|port| port.file_name().into_string().ok());
    let named = |device: &String| {
        let name = sys::read_file(&format!("/sys/class/virtio-ports/{device}/name")).unwrap_or_default();
        name.trim_ascii() == PORT.as_bytes()
    };
    if any { devices.min() } else { devices.find(named) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_mounted_is_remarked() {
        let mut remarks = Vec::new();
        let none = Mount { kind: "none", target: "/proc/self", flags: SAFE, data: "" };
        mount_all(&[none], &mut remarks);
        assert!(
            matches!(&remarks[..], [one] if one.starts_with("mount none on /proc/self: errno ")),
            "{remarks:?}"
        );
    }
}
