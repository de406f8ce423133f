//! ARM (aarch64): block layouts ([`layouts`]), dots ([`dot`]) and tiles ([`tile`]) that NEON, NEON with dotprod and NEON
//! with i8mm share. NEON is part of every aarch64 CPU; what differs between the three is the multiply instruction.

mod dot;
mod layouts;
mod multiply;
mod tile;

pub mod dotprod;
pub mod i8mm;
pub mod neon;

use dot::unpack;
use std::arch::is_aarch64_feature_detected as has;
