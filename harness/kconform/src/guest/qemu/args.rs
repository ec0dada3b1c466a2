//! QEMU's command line for an image. Pure: the same image gives the same words.

use std::path::Path;

use kconform_abi::Arch;

use super::accel::Accelerator;
use crate::guest::image::{AgentPort, Image};

/// The name of the virtio-serial port that the agent speaks through; the guest finds it in
/// `/sys/class/virtio-ports/*/name`.
pub const PORT: &str = "org.kconform.agent";

/// The host's end of the agent's port, in QEMU's working directory.
pub(super) const AGENT_SOCKET: &str = "agent";

/// The host's end of QEMU's monitor (QMP), likewise.
pub(super) const QMP_SOCKET: &str = "qmp";

/// What every guest's kernel is told, before the image's own words:
/// - the first CPU alone is brought up: several are less stable under emulation and slower. The others stay possible,
///   so per-CPU maps have their slots (`-smp 1,maxcpus=N` does not do: newer kernels and riscv64 then count one; see
///   [`is_described`] for what does there);
/// - warnings and worse go to the console, which is a slow device;
/// - a panic reboots at once, which `-no-reboot` makes QEMU's end, after the trace was printed;
/// - sessions have no scheduling groups of their own, and pressure is not accounted: each case is a session, and the code
///   that makes and ends a group, or counts at each switch, is a tenth of what a restored guest translates first;
/// - system calls do not begin at a random depth of the stack: outside x86 each of them would ask the kernel's generator of
///   random numbers, which seeds itself anew in the meantime.
const CMDLINE: &[&str] = &[
    "maxcpus=1",
    "loglevel=5",
    "panic=-1",
    "rdinit=/init",
    "noautogroup",
    "psi=0",
    "randomize_kstack_offset=off",
];

/// What differs between architectures in QEMU.
#[derive(Clone, Copy, Debug)]
pub(super) struct Qemu {
    /// The program.
    pub program: &'static str,
    /// The Debian package that it is in, in words.
    pub package: &'static str,
    /// The device that carries virtio-serial ports.
    pub serial_bus: &'static str,
    /// A second serial port, where the machines have one: the kernel's name for it, and QEMU's arguments.
    pub second_serial: Option<(&'static str, [&'static str; 2])>,
    /// What an emulated CPU does that is never brought up.
    pub spare: Spare,
    /// An emulated CPU's timer is not set any more in a restored guest: see [`super::timer`].
    pub loses_timer: bool,
}

/// What an emulated CPU does that is never brought up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spare {
    /// It costs nothing.
    Sleeps,
    /// It turns round and round at the expense of one of the host's: OpenSBI 1.1 lets it wait (sbi_hsm_hart_wait()) with
    /// an interrupt pending that ends every `wfi`.
    Spins,
}

/// A row an architecture.
pub(super) fn qemu(arch: Arch) -> Qemu {
    let row = |program, package, serial_bus| {
        let second_serial = match arch {
            Arch::X86_64 => Some(("ttyS1", ["-serial", "chardev:agent"])),
            // The one UART of these machines is the console's; PCI has others (CONFIG_SERIAL_8250_PCI).
            Arch::Riscv64 => Some(("ttyS1", ["-device", "pci-serial,chardev=agent"])),
            Arch::Aarch64 => Some(("ttyS0", ["-device", "pci-serial,chardev=agent"])),
            Arch::S390x => None,
        };
        Qemu { program, package, serial_bus, second_serial, spare: Spare::Sleeps, loses_timer: false }
    };
    match arch {
        Arch::X86_64 => row("qemu-system-x86_64", "qemu-system-x86", "virtio-serial-pci"),
        Arch::Riscv64 => Qemu {
            spare: Spare::Spins,
            loses_timer: true,
            ..row(
                "qemu-system-riscv64",
                "qemu-system-misc (Debian 12) or qemu-system-riscv (since Debian 13)",
                "virtio-serial-pci",
            )
        },
        Arch::Aarch64 => row("qemu-system-aarch64", "qemu-system-arm", "virtio-serial-pci"),
        Arch::S390x => row(
            "qemu-system-s390x",
            "qemu-system-misc (Debian 12) or qemu-system-s390x (since Debian 13)",
            "virtio-serial-ccw",
        ),
    }
}

/// Whether the agent of a guest of that architecture can be reached without virtio.
pub(crate) fn has_second_serial(arch: Arch) -> bool {
    qemu(arch).second_serial.is_some()
}

/// What a boot adds to its image.
#[derive(Clone, Copy, Debug)]
pub(in crate::guest) struct Boot<'a> {
    pub kernel: &'a Path,
    pub initramfs: &'a Path,
    /// Where the device tree is, for guests that need one of their own.
    pub device_tree: &'a Path,
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
    let described = is_described(image, boot.accelerator);
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
    add(&["-accel", boot.accelerator.name()]);
    if let Some(cpu) = cpu(image, boot.accelerator) {
        add(&["-cpu", cpu]);
    }
    let cpus = if described { 1 } else { image.cpus };
    add(&["-smp", &cpus.to_string(), "-m", &format!("{}M", image.memory)]);
    if matches!(boot.memory, Memory::Copied(_)) {
        // What QEMU would load is in the memory already, and the guest has come past it.
        add(&["-incoming", "defer"]);
    } else {
        add(&["-kernel", &boot.kernel.to_string_lossy(), "-initrd", &boot.initramfs.to_string_lossy()]);
        add(&["-append", &cmdline(image, boot.cmdline)]);
        if described {
            add(&["-dtb", &boot.device_tree.to_string_lossy()]);
        }
    }
    add(&["-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"]);
    add(&["-chardev", &format!("socket,id=agent,path={AGENT_SOCKET}")]);
    match serial_port(image) {
        Some((_, words)) => add(&words),
        None => {
            add(&["-device", qemu(image.arch).serial_bus]);
            add(&["-device", &format!("virtserialport,chardev=agent,name={PORT}")]);
        }
    }
    add(&["-chardev", &format!("socket,id=qmp,path={QMP_SOCKET}"), "-mon", "chardev=qmp,mode=control"]);
    words.extend(image.qemu_args.iter().cloned());
    words
}

/// Whether QEMU has one CPU, and only a device tree tells the guest's kernel of the others.
pub(in crate::guest) fn is_described(image: &Image, accelerator: Accelerator) -> bool {
    accelerator == Accelerator::Tcg && image.cpus > 1 && qemu(image.arch).spare == Spare::Spins
}

/// The arguments with which QEMU writes the device tree of the image's machine, with all its CPUs, and ends.
pub(in crate::guest) fn describing(image: &Image, accelerator: Accelerator, file: &Path) -> Vec<String> {
    let mut words = Vec::new();
    let mut add = |new: &[&str]| words.extend(new.iter().map(|&word| word.to_owned()));
    add(&["-nodefaults", "-no-user-config", "-display", "none"]);
    add(&["-machine", &format!("{},dumpdtb={}", image.machine, value(file))]);
    if let Some(cpu) = cpu(image, accelerator) {
        add(&["-cpu", cpu]);
    }
    add(&["-smp", &image.cpus.to_string(), "-m", &format!("{}M", image.memory)]);
    words.extend(image.qemu_args.iter().cloned());
    words
}

fn cpu(image: &Image, accelerator: Accelerator) -> Option<&str> {
    match accelerator {
        Accelerator::Kvm => Some("host"),
        Accelerator::Tcg => image.cpu.as_deref(),
    }
}

/// A path as the value of a key; a comma in it is written twice.
fn value(path: &Path) -> String {
    path.to_string_lossy().replace(',', ",,")
}

/// QEMU's `memory-backend-file`.
fn memory(memory: Memory<'_>, mebibytes: u32) -> Option<String> {
    let (file, share) = match memory {
        Memory::Private => return None,
        Memory::Kept(file) => (file, "on"),
        Memory::Copied(file) => (file, "off"),
    };
    let path = value(file);
    Some(format!("memory-backend-file,id=memory,size={mebibytes}M,mem-path={path},share={share}"))
}

/// The serial port that the agent is to use instead of virtio.
fn serial_port(image: &Image) -> Option<(&'static str, [&'static str; 2])> {
    qemu(image.arch).second_serial.filter(|_| image.port == AgentPort::Serial)
}

fn cmdline(image: &Image, extra: &[String]) -> String {
    let console = format!("console={}", image.console);
    // What the kernel does not know goes to init's environment.
    let port = serial_port(image).map(|(name, _)| format!("KCONFORM_PORT={name}"));
    let words = [console.as_str()].into_iter().chain(CMDLINE.iter().copied()).chain(port.as_deref());
    let own = image.cmdline.iter().chain(extra).map(String::as_str);
    words.chain(own).collect::<Vec<_>>().join(" ")
}
