//! The protocol to the server, and the only way to it: sessions and replication both use a connection that is
//! opened, encrypted and logged in here.

pub mod cancel;
pub mod login;
pub mod message;
mod refusal;
mod tls;
mod verify;

pub use message::code_of;
pub use refusal::{hint, pooler_next};
