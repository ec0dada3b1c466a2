//! All that cases may leave on a machine that is not theirs alone, whatever they did: for the comparison of before a run and
//! after it. Only what changes little by itself: BPF objects and processes come and go.

use crate::sys;
use crate::traces::keys::Keys;
use crate::traces::{trees, wide};

/// What the agent shares with the machine: of what is its own, nothing stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shares {
    ipc: bool,
    network: bool,
    uts: bool,
    /// /tmp and the like.
    files: bool,
}

/// The namespaces that a process is in.
pub(crate) struct Namespaces([Option<std::path::PathBuf>; 4]);

impl Namespaces {
    pub(crate) fn now() -> Namespaces {
        let of = |kind: &str| std::fs::read_link(format!("/proc/self/ns/{kind}")).ok();
        Namespaces(["ipc", "net", "uts", "mnt"].map(of))
    }

    /// What is shared by one who was in these, and now is in others. `sealed`: so are its files, where its mounts are its own.
    pub(crate) fn shared(&self, sealed: bool) -> Shares {
        let now = Namespaces::now();
        let [ipc, network, uts, mounts] = [0, 1, 2, 3].map(|kind| self.0[kind] == now.0[kind]);
        Shares { ipc, network, uts, files: mounts || !sealed }
    }
}

/// Sysctls of namespaces, by the beginnings of their names: network, UTS and IPC namespaces.
const OF_NETWORK: &[&str] = &["net/"];
const OF_UTS: &[&str] = &["kernel/domainname", "kernel/hostname"];
const OF_IPC: &[&str] = &["fs/mqueue/", "kernel/auto_msgmni", "kernel/msg", "kernel/sem", "kernel/shm"];

/// Directories in which everybody may leave files.
const FILES: [&str; 3] = ["/dev/shm", "/tmp", "/var/tmp"];
/// What names hold that runs beside this one give.
const OURS: &str = "kconform-";

/// What is there, by name, and what it holds where that is a value.
pub(crate) fn look(shares: Shares) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let own = [(shares.network, OF_NETWORK), (shares.uts, OF_UTS), (shares.ipc, OF_IPC)];
    // They are many.
    let without: &[&str] = if shares.network { &[] } else { &["net"] };
    for (path, value) in wide::sysctls_but(without) {
        let name = path.strip_prefix("/proc/sys/").unwrap_or_default();
        let is_own = own.iter().any(|(shared, begins)| !shared && begins.iter().any(|b| name.starts_with(b)));
        if !is_own {
            found.push((path, String::from_utf8_lossy(&value).trim_end().to_owned()));
        }
    }
    let names = Keys::before().names().into_iter();
    found.extend(names.map(|name| (name, String::new())));
    let mut add = |what: &str, path: String| found.push((format!("{what} {path}"), String::new()));
    wide::made_directories().into_iter().for_each(|path| add("the directory", path));
    for (path, _) in trees::mounts("bpf").iter().flat_map(|top| trees::walk(top)) {
        add("the pin", path);
    }
    if shares.ipc {
        for kind in ["msg", "sem", "shm"] {
            ipc(kind).into_iter().for_each(|id| add(&format!("System V {kind}"), id));
        }
    }
    if shares.files {
        for directory in FILES {
            files(directory).into_iter().for_each(|path| add("the file", path));
        }
    }
    found.retain(|(name, _)| !name.contains(OURS));
    found
}

/// The ids of this user's objects of System V IPC that nobody uses (`/proc/sysvipc/shm` and so on, proc(5)).
fn ipc(kind: &str) -> Vec<String> {
    let table = sys::read_file(&format!("/proc/sysvipc/{kind}")).unwrap_or_default();
    let table = String::from_utf8_lossy(&table);
    let mut lines = table.lines().map(|line| line.split_ascii_whitespace().collect::<Vec<_>>());
    let Some(heads) = lines.next() else { return Vec::new() };
    let column = |name: &str| heads.iter().position(|head| *head == name);
    let (id, user, users) = (column(&format!("{kind}id")), column("uid"), column("nattch"));
    let own = sys::effective_uid().to_string();
    let of =
        |line: &Vec<&str>, column: Option<usize>| column.and_then(|c| line.get(c).map(|w| (*w).to_owned()));
    lines
        .filter(|line| of(line, user).as_deref() == Some(own.as_str()))
        .filter(|line| of(line, users).is_none_or(|users| users == "0"))
        .filter_map(|line| of(&line, id))
        .collect()
}

/// This user's files in a directory.
fn files(directory: &str) -> Vec<String> {
    let own = sys::effective_uid();
    let is_own = |path: &String| sys::stat(&sys::c_string(path)).is_ok_and(|s| s.st_uid == own);
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.path().to_string_lossy().into_owned()).filter(is_own).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_its_own_is_not_looked_at() {
        let all = Shares { ipc: true, network: true, uts: true, files: true };
        let none = Shares { ipc: false, network: false, uts: false, files: false };
        let names = |shares| look(shares).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        let (all, none) = (names(all), names(none));
        let has = |names: &[String], beginning: &str| names.iter().any(|name| name.starts_with(beginning));
        for beginning in ["/proc/sys/net/", "/proc/sys/kernel/hostname", "/proc/sys/kernel/shmmax"] {
            assert!(has(&all, beginning) && !has(&none, beginning), "{beginning}");
        }
        assert!(has(&none, "/proc/sys/kernel/panic"));
        assert!(!has(&none, "the file "));
    }

    #[test]
    fn namespaces_that_were_not_left_are_shared() {
        let namespaces = Namespaces::now();
        let all = Shares { ipc: true, network: true, uts: true, files: true };
        assert_eq!(namespaces.shared(true), all);
        let left = Namespaces([None, None, None, None]);
        assert_eq!(left.shared(true), Shares { ipc: false, network: false, uts: false, files: false });
        assert!(left.shared(false).files);
    }
}
