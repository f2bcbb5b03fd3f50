//! Looks for inputs that break the check `reference`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::check("reference", input));
