//! QEMU's command line for an image. Pure: the same image gives the same words.

use std::path::Path;

use kconform_abi::Arch;

use super::accel::Accelerator;
use crate::guest::image::Image;

/// The name of the virtio-serial port that the agent speaks through; the guest finds it in
/// `/sys/class/virtio-ports/*/name`.
pub const PORT: &str = "org.kconform.agent";

/// The host's end of the agent's port, in QEMU's working directory.
pub(super) const AGENT_SOCKET: &str = "agent";

/// The host's end of QEMU's monitor (QMP), likewise.
pub(super) const QMP_SOCKET: &str = "qmp";

/// What every guest's kernel is told, before the image's own words:
/// - the first CPU alone is brought up: several are less stable under emulation and slower. The others stay possible,
///   so per-CPU maps have their slots (`-smp 1,maxcpus=N` does not do: newer kernels and riscv64 then count one);
/// - warnings and worse go to the console, which is a slow device;
/// - a panic reboots at once, which `-no-reboot` makes QEMU's end, after the trace was printed.
const CMDLINE: &[&str] = &["maxcpus=1", "loglevel=5", "panic=-1", "rdinit=/init"];

/// What differs between architectures in QEMU.
#[derive(Clone, Copy, Debug)]
pub(super) struct Qemu {
    /// The program.
    pub program: &'static str,
    /// The Debian package that it is in, in words.
    pub package: &'static str,
    /// The device that carries virtio-serial ports.
    pub serial_bus: &'static str,
}

/// A row an architecture.
pub(super) fn qemu(arch: Arch) -> Qemu {
    let row = |program, package, serial_bus| Qemu { program, package, serial_bus };
    match arch {
        Arch::X86_64 => row("qemu-system-x86_64", "qemu-system-x86", "virtio-serial-pci"),
        Arch::Riscv64 => row(
            "qemu-system-riscv64",
            "qemu-system-misc (Debian 12) or qemu-system-riscv (since Debian 13)",
            "virtio-serial-pci",
        ),
        Arch::Aarch64 => row("qemu-system-aarch64", "qemu-system-arm", "virtio-serial-pci"),
        Arch::S390x => row(
            "qemu-system-s390x",
            "qemu-system-misc (Debian 12) or qemu-system-s390x (since Debian 13)",
            "virtio-serial-ccw",
        ),
    }
}

/// What a boot adds to its image.
#[derive(Clone, Copy, Debug)]
pub(in crate::guest) struct Boot<'a> {
    pub kernel: &'a Path,
    pub initramfs: &'a Path,
    pub accelerator: Accelerator,
    /// Words after the image's own, of which the kernel mostly takes the last.
    pub cmdline: &'a [String],
    pub memory: Memory<'a>,
}

/// Where a guest's memory is.
#[derive(Clone, Copy, Debug)]
pub(in crate::guest) enum Memory<'a> {
    /// QEMU's own.
    Private,
    /// In a file, for others to start from.
    Kept(&'a Path),
    /// In a file that others share, of which it has a copy as far as it writes to it; QEMU waits for the state that
    /// goes with it.
    Copied(&'a Path),
}

/// QEMU's arguments. The console is on standard output; the agent's port is a socket that QEMU connects to.
pub(in crate::guest) fn arguments(image: &Image, boot: &Boot<'_>) -> Vec<String> {
    let cpu = match boot.accelerator {
        Accelerator::Kvm => Some("host"),
        Accelerator::Tcg => image.cpu.as_deref(),
    };
    let mut words = Vec::new();
    let mut add = |new: &[&str]| words.extend(new.iter().map(|&word| word.to_owned()));
    add(&["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"]);
    let machine = &image.machine;
    match memory(boot.memory, image.memory) {
        None => add(&["-machine", machine]),
        Some(object) => {
            add(&["-object", &object, "-machine", &format!("{machine},memory-backend=memory")]);
        }
    }
    if matches!(boot.memory, Memory::Copied(_)) {
        add(&["-incoming", "defer"]);
    }
    add(&["-accel", boot.accelerator.name()]);
    if let Some(cpu) = cpu {
        add(&["-cpu", cpu]);
    }
    add(&["-smp", &image.cpus.to_string(), "-m", &format!("{}M", image.memory)]);
    add(&["-kernel", &boot.kernel.to_string_lossy(), "-initrd", &boot.initramfs.to_string_lossy()]);
    add(&["-append", &cmdline(image, boot.cmdline)]);
    add(&["-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"]);
    add(&["-chardev", &format!("socket,id=agent,path={AGENT_SOCKET}")]);
    add(&["-device", qemu(image.arch).serial_bus]);
    add(&["-device", &format!("virtserialport,chardev=agent,name={PORT}")]);
    add(&["-chardev", &format!("socket,id=qmp,path={QMP_SOCKET}"), "-mon", "chardev=qmp,mode=control"]);
    words.extend(image.qemu_args.iter().cloned());
    words
}

/// QEMU's `memory-backend-file`; a comma in a value is written twice.
fn memory(memory: Memory<'_>, mebibytes: u32) -> Option<String> {
    let (file, share) = match memory {
        Memory::Private => return None,
        Memory::Kept(file) => (file, "on"),
        Memory::Copied(file) => (file, "off"),
    };
    let path = file.to_string_lossy().replace(',', ",,");
    Some(format!("memory-backend-file,id=memory,size={mebibytes}M,mem-path={path},share={share}"))
}

fn cmdline(image: &Image, extra: &[String]) -> String {
    let console = format!("console={}", image.console);
    let words = [console.as_str()].into_iter().chain(CMDLINE.iter().copied());
    let own = image.cmdline.iter().chain(extra).map(String::as_str);
    words.chain(own).collect::<Vec<_>>().join(" ")
}
