//! An Odoo on the restored copy: it is started without schedule and without a way out ([`boot`],
//! [`closed`]), and called as a person would use it ([`desk`]).

pub mod boot;
pub mod closed;
pub mod desk;
pub mod log;
pub mod prepare;
pub mod record;
