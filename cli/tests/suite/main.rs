//! What the program does, seen from outside: every test runs the binary. One binary of tests, so that it is linked once.

mod adapters;
mod batches;
mod chat;
mod chat_again;
mod download;
mod elsewhere;
mod embed;
mod hub;
mod interrupts;
mod looks;
mod measures;
mod models;
mod program;
mod real_models;
mod run;
mod server;
mod speculation;
mod template;
mod terminal;
mod tiny;
mod usage;
