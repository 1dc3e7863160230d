//! The streaming replication protocol (PostgreSQL manual, 55.4): physical, and no more of it than
//! an archive of WAL and base backups want.

mod base_backup;
mod connect;
mod slot;
mod stream;

pub use super::wire::code_of;
pub use base_backup::{BaseMessage, BaseStart, BaseStream};
pub use connect::{Replication, System};
pub use slot::{SlotState, slot_state};
pub use stream::{Streaming, WalMessage};
