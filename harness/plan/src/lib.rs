//! What travels between the host and the agent: a case lowered to numbers and bytes for one ABI (the [`Plan`]), what
//! happened when it ran (the [`Observation`]), and the wire format that carries both.
//!
//! A plan never holds names or places: a step's index leads back to the source line on the host. The same pure
//! [`check`](Expect::check) tells the agent when a step did not go as expected (so that the case ends there, or an
//! `eventually` step is tried again) and the host what to say about it; the agent itself reports observations only.
#![forbid(unsafe_code)]

mod btf;
mod expect;
mod observation;
mod plan;
mod settings;
mod trace;
mod wire;

pub use btf::{BtfAnswer, BtfQuery, BtfWant};
pub use expect::{Expect, Got, Mismatch, Ret, Want, number_in};
pub use observation::{
    Bytes, ChildEnd, End, Facts, Iteration, Observation, Record, RecordKind, Refusal, Refuser, Saved,
    Trouble, is_error,
};
pub use plan::{
    Buffer, Call, Function, Last, Op, Output, Overlay, Piece, Plan, Region, Save, SetSysctl, Source, Step,
    Value, calls,
};
pub use settings::{
    KnownSysctl, Lockdown, MemoryCgroup, SYSCTLS, Settings, Sysctl, dots_and_slashes_swapped, known_sysctl,
    sysctl_path,
};
pub use trace::{KeyChange, Left, ObjectKind, Place, Trace};
pub use wire::{
    FromAgent, MAX_FRAME, SERIAL_SHARE, SERIAL_WINDOW, ToAgent, WIRE_VERSION, WireError, decode, encode,
    read_body, read_frame, write_frame,
};
