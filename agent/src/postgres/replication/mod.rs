//! The streaming replication protocol (PostgreSQL manual, 55.4): only its physical part, and only what a WAL
//! archive and base backups need.

mod base_backup;
mod connect;
mod slot;
mod stream;

pub use super::wire::code_of;
pub use base_backup::{BaseMessage, BaseStart, BaseStream};
pub use connect::{Replication, System};
pub use slot::{SlotState, slot_state};
pub use stream::{Streaming, WalMessage};
