#![no_main]

use hostile_input::Parser;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    Parser::named("shard_pattern").check(bytes);
});
