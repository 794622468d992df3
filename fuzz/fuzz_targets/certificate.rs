//! Certificates of clients, as gateways pass them on. What must hold is in `src/certificate.rs`.
#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};

fuzz_target!(|data: &[u8]| {
    deodar_fuzz::certificate::judge(data);
});

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    deodar_fuzz::mutation::mutate(data, size, max_size, seed, fuzzer_mutate)
});
