//! The command line of gristmill.

fn main() {}
