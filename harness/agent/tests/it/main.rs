//! The agent as its host sees it: the real program, plans made by hand, and what it says of them.

mod agent;
mod blocks;
mod calls;
mod leftovers;
mod messages;
mod plans;
mod stream;
mod trouble;
