//! Looks for inputs that break the check `content_range`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::check("content_range", input));
