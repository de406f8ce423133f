//! Inputs shared by the criterion benchmarks under `benches/`.
