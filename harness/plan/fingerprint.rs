// Included by the build scripts of the agent and of kconform: both must come to the same fingerprint of the agent's
// sources, so that an agent of an older build is noticed when it says what it is.

/// FNV-1a over the names and contents of the sources that make an agent. `harness` is the folder of the crates.
fn agent_fingerprint(harness: &std::path::Path) -> String {
    let mut files = Vec::new();
    let mut folders = vec![harness.join("plan/src"), harness.join("agent/src")];
    while let Some(folder) = folders.pop() {
        // Relative to the crate: in a copied checkout with its `target` the copy's own sources are meant.
        let own = folder.strip_prefix(harness).expect("below harness/");
        println!("cargo:rerun-if-changed=../{}", own.display());
        for entry in std::fs::read_dir(&folder).expect("the agent's sources").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push(path);
            }
        }
    }
    files.sort();
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for file in &files {
        let name = file.strip_prefix(harness).expect("below harness/").to_string_lossy().into_owned();
        let text = std::fs::read(file).expect("a source that can be read");
        for byte in name.bytes().chain(text) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    format!("{hash:016x}")
}
