//! What outlives the program, on disk. It keeps what it is given and decides nothing; no other layer names a file.

pub mod profile;
