//! What is stored, read once, and what follows from it: pure answers that every command shares.

pub mod reach;
pub mod standing;
pub mod target;
