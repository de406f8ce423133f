//! ARM (aarch64): block layouts ([`layouts`]), dots ([`dot`]) and tiles ([`tile`]) that NEON, NEON with dotprod and NEON
//! with i8mm share. NEON is part of every aarch64 CPU; what differs between the three is the multiply instruction.

mod dot;
mod layouts;
mod multiply;
mod set;
mod tile;

pub mod dotprod;
pub mod i8mm;
pub mod neon;
