//! The audit log.

mod export;
mod pages;
pub mod verify;

pub use export::export;
