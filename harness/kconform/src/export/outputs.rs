//! The parts of a call's memory that are looked at afterwards, and their names.

/// A part of memory.
#[derive(Clone, Debug)]
pub(super) struct Part {
    /// What it may be called.
    pub(super) names: Vec<String>,
    /// C for its address.
    pub(super) data: String,
    /// C for its size in bytes.
    pub(super) size: String,
    /// The size, where it is the same on every kernel.
    pub(super) known: Option<u64>,
    /// C for the number in it, where it is a field.
    pub(super) number: Option<String>,
}

impl Part {
    /// C for the number in it; its size must be that of one.
    pub(super) fn as_number(&self) -> String {
        self.number.clone().unwrap_or_else(|| format!("number_at({}, {})", self.data, self.size))
    }

    /// Whether it has the size of a number; `None` where only the kernel says.
    pub(super) fn is_number(&self) -> Option<bool> {
        self.known.map(|size| matches!(size, 1 | 2 | 4 | 8))
    }
}

/// What a call has for names; what `as` says goes before everything else.
#[derive(Default)]
pub(super) struct Outputs {
    /// By `as`.
    pub(super) named: Vec<Part>,
    /// By field or argument.
    pub(super) places: Vec<Part>,
}

impl Outputs {
    /// The part of that name.
    pub(super) fn find(&self, name: &str) -> Option<&Part> {
        self.named.iter().chain(&self.places).find(|part| part.names.iter().any(|known| known == name))
    }
}
