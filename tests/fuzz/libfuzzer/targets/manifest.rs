//! Looks for inputs that break the check `manifest`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::check("manifest", input));
