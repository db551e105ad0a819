//! What a member of a relay types and sees: the parts of the front ends that direct conversations do without.
//!
//! Laid out like the folder around it: `input` reads lines, `state` keeps what is known, `notice` is what is shown, `text` and
//! `json` show it.

pub mod input;
pub(super) mod json;
mod notice;
mod state;
pub mod text;

pub use input::RelayAction;
pub use notice::{Reason, RelayNotice};
pub use state::{Asked, RelayState};
