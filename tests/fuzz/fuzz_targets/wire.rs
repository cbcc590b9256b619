//! Any bytes as an answer of Vault: never a panic, and no error repeats content.
#![no_main]
use libfuzzer_sys::fuzz_target;
use vouchsafe_model::Secret;
use vouchsafe_model::wire::{Envelope, KvRead, error_texts};

fuzz_target!(|bytes: &[u8]| {
    let _ = error_texts(bytes);
    if let Ok(envelope) = Envelope::parse(&Secret::new(bytes.to_vec())) {
        if let Some(data) = envelope.data {
            let _ = KvRead::from_data(data);
        }
    }
});
