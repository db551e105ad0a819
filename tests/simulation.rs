//! Networks of the shipped machines on virtual time.
//!
//! - `campaign`: random schedules, every invariant watched; `UDPCHAT_SIM_SCHEDULES` and `UDPCHAT_SIM_START` choose which.
//! - `one_seed`: one of them again, made as small as it gets if it fails; `UDPCHAT_SIM_SEED` says which.
//! - `relay_campaign` and `relay_seed`: the same for gatherings, which are attendees at a relay, with invariants of their own.
//! - `vigil_campaign` and `vigil_seed`: the same for hours of two sealed nodes, in which keys change.
//! - the scenarios, each a short script, and a table of what a lossy link costs.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(clippy::print_stdout, reason = "what a campaign came to is for people to read")]

#[path = "simulation/campaign.rs"]
mod campaign;
#[path = "simulation/gatherings.rs"]
mod gatherings;
#[path = "simulation/golden.rs"]
mod golden;
#[path = "simulation/goodput.rs"]
mod goodput;
#[path = "simulation/scenarios.rs"]
mod scenarios;
#[path = "simulation/sealed.rs"]
mod sealed;
#[path = "simulation/shared.rs"]
mod shared;
#[path = "simulation/tails.rs"]
mod tails;
