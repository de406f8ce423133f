//! Tests of the team: on threads as they happen to run, and under `loom` in every order that they can run in.

#[cfg(loom)]
mod loom;
#[cfg(not(loom))]
mod threads;
