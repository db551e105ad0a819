//! Front ends: what a person types, and what a person or a script sees.
//!
//! All of them are thin views over one [`model::Model`]. Nothing here talks to the network or knows how a message travels:
//! it knows of the peer only its commands and its events.

pub mod editor;
pub mod filter;
pub mod host;
pub mod input;
pub mod json;
pub mod keys;
pub mod lines;
pub mod model;
pub mod notice;
pub mod relay;
pub mod style;
pub mod terminal;
pub mod text;
pub mod trust;
pub mod view;
