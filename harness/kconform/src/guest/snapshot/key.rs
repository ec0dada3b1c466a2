//! What a snapshot is a snapshot of.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use kconform_plan::WIRE_VERSION;
use sha2::{Digest, Sha256};

use crate::guest::qemu::{Accelerator, Boot, Machine, Memory, arguments, describing, identity, is_described};
use crate::hex::hex;

/// Changes when snapshots of earlier builds can no longer be used, for a reason that no ingredient tells.
const FORMAT: u32 = 3;
/// Digits of a key in a directory's name.
const DIGITS: usize = 20;

/// All that made a guest, by what it is. Two guests with equal keys are alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    /// Kept beside the snapshot, so that it can be seen what it is of.
    pub ingredients: BTreeMap<String, String>,
}

impl Key {
    /// The key of what would be booted.
    pub(super) fn of(boot: &Boot<'_>, accelerator: Accelerator) -> io::Result<Key> {
        // The command line with everything in it that makes the machine, and the files by their contents instead.
        let machine = Machine {
            kernel: Path::new("kernel"),
            initramfs: Path::new("initramfs"),
            device_tree: Path::new("device-tree"),
            accelerator,
            cmdline: boot.spec.cmdline,
            memory: Memory::Private,
        };
        let words = arguments(boot.spec.image, &machine);
        let mut ingredients = BTreeMap::from([
            ("arguments", words.join(" ")),
            ("format", FORMAT.to_string()),
            ("initramfs", boot.contents.clone()),
            ("kernel", boot.spec.kernel.sha256.clone()),
            ("qemu", identity(&boot.qemu)?),
            ("wire", WIRE_VERSION.to_string()),
        ]);
        if is_described(boot.spec.image, accelerator) {
            let words = describing(boot.spec.image, accelerator, machine.device_tree);
            ingredients.insert("device tree", words.join(" "));
        }
        if accelerator == Accelerator::Kvm {
            // The host's CPU is the guest's, down to its microcode, which a boot of the host may change.
            let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
            ingredients.insert("host", boot_id.trim().to_owned());
        }
        let ingredients = ingredients.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Ok(Key { ingredients })
    }

    /// A short name.
    pub(super) fn digest(&self) -> String {
        let mut hash = Sha256::new();
        for text in self.ingredients.iter().flat_map(|(name, value)| [name, value]) {
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text);
        }
        hex(&hash.finalize())[..DIGITS].to_owned()
    }
}
