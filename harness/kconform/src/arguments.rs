//! Arguments of system calls by name: which argument a name means, and where it stands on an architecture.

use kconform_abi::{Arch, Param, prototype};

/// The parameter that a name means, the man page's name or the kernel's, and all that may be meant on any architecture.
pub(crate) fn param(call: &str, name: &str) -> Option<&'static Param> {
    meant(params(call), name)
}

/// The one of these that a name means.
fn meant(mut params: impl Iterator<Item = &'static Param> + Clone, name: &str) -> Option<&'static Param> {
    let by_man_page = params.clone().find(|param| param.name == name);
    by_man_page.or_else(|| params.find(|param| param.kernel_name == name))
}

/// The parameters of a call on each architecture that has it, one after the other.
pub(crate) fn params(call: &str) -> impl Iterator<Item = &'static Param> + Clone {
    by_arch(call).flatten()
}

/// The parameters of a call, for each architecture that has it.
fn by_arch(call: &str) -> impl Iterator<Item = &'static [Param]> + Clone {
    Arch::ALL.iter().filter_map(move |&arch| prototype(arch, call)).map(|known| known.params)
}

/// Other names of what a written argument points to. In a list those count that mean that argument wherever the call
/// exists.
pub(crate) fn also_called(call: &str, written: &[&'static str], nth: usize) -> Vec<&'static str> {
    if let Some(name) = written.get(nth) {
        return param(call, name).map(|param| param.kernel_name).into_iter().filter(|n| n != name).collect();
    }
    // Looked up once: it is needed for each name.
    let known: Vec<&'static [Param]> = by_arch(call).collect();
    let all = || known.iter().copied().flatten();
    let is_there = |name: &&'static str| {
        let wanted = meant(all(), name).map(|param| param.name);
        let here = |params: &&'static [Param]| params.get(nth).map(|one| one.name) == wanted;
        known.iter().all(here)
    };
    let mut names: Vec<_> =
        all().flat_map(|param| [param.name, param.kernel_name]).filter(is_there).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// What the buffer of a written argument is called among the outputs: its name, or `arg0` … `arg5` in a list.
pub(crate) fn output_name(names: &[&'static str], nth: usize) -> String {
    names.get(nth).map_or_else(|| format!("arg{nth}"), |name| (*name).to_owned())
}

/// For each argument that is passed on an architecture which of the written ones it is; `None`: it was left out.
///
/// # Errors
/// A name that the call does not have there.
pub(crate) fn order(
    arch: Arch,
    call: &str,
    names: &[&'static str],
    written: usize,
) -> Result<Vec<Option<usize>>, &'static str> {
    if names.is_empty() {
        return Ok((0..written).map(Some).collect());
    }
    let known = prototype(arch, call).map_or([].as_slice(), |known| known.params);
    if let Some(stranger) = names.iter().find(|name| !known.iter().any(|param| param.name == **name)) {
        return Err(stranger);
    }
    let place = |param: &Param| names.iter().position(|name| *name == param.name);
    let mut order: Vec<Option<usize>> = known.iter().map(place).collect();
    while order.last().is_some_and(Option::is_none) {
        order.pop();
    }
    Ok(order)
}

#[cfg(test)]
mod tests {
    use kconform_abi::syscall_names;

    use super::*;

    #[test]
    fn a_name_means_one_argument() {
        for call in syscall_names() {
            for &arch in Arch::ALL {
                let Some(known) = prototype(arch, call) else { continue };
                for (nth, one) in known.params.iter().enumerate() {
                    for name in [one.name, one.kernel_name] {
                        let meant = param(call, name).expect("it is known");
                        let place = known.params.iter().position(|param| param.name == meant.name);
                        assert_eq!(place, Some(nth), "{call}: {name} on {arch}");
                    }
                }
            }
        }
    }

    #[test]
    fn the_order_is_the_architectures_own() {
        let names = ["tls", "flags"];
        let order = |arch| order(arch, "clone", &names, 2);
        assert_eq!(order(Arch::X86_64), Ok(vec![Some(1), None, None, None, Some(0)]));
        assert_eq!(order(Arch::Riscv64), Ok(vec![Some(1), None, None, Some(0)]));
        assert_eq!(order(Arch::S390x), Ok(vec![None, Some(1), None, None, Some(0)]));
    }

    #[test]
    fn outputs_of_lists_have_names_where_they_mean_the_same_everywhere() {
        assert_eq!(also_called("clone", &[], 2), ["parent_tid", "parent_tidptr"]);
        assert_eq!(also_called("clone", &[], 3), Vec::<&str>::new());
        assert_eq!(also_called("openat", &["path"], 0), ["filename"]);
        assert_eq!(also_called("nothing", &[], 0), Vec::<&str>::new());
    }
}
