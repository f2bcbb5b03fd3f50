//! Looks for inputs that break the check `basic`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::check("basic", input));
