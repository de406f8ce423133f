//! x86: block layouts ([`layouts`]), dots ([`dot`]) and tiles ([`tile`], [`maddubs`]) that AVX2, AVX-VNNI and AVX-512
//! share. One source; what differs between the sets is one instruction and the width of the tile; where there is AVX-512
//! VBMI, some types unpack in another way ([`vbmi`]).

mod dot;
mod layouts;
mod maddubs;
mod pack;
mod peak;
mod tile;
mod vbmi;

pub mod avx2;
pub mod avx512;
pub mod avx512vbmi;
pub mod avx512vl;
pub mod avx_vnni;

use pack::unpack;
use std::arch::is_x86_feature_detected as has;
