//! Looks for inputs that break the check `range`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::check("range", input));
