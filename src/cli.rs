//! The command line: one file a command, exit codes, and the wiring of rooms.

pub mod demo;
