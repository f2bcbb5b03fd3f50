//! Looks for inputs that break the check `scope`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::check("scope", input));
