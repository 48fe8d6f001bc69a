#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| furiosa_models_native_fuzz::lookup::run(bytes));
