//! Looks for inputs that break the check `route`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::check("route", input));
