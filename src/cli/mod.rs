//! From the command line to what it asks for.
