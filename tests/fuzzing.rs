//! The fuzzer's entry points with random bytes, and with the fuzzer's own corpora, wherever the tests run.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod entry_points;

use std::fs;

use proptest::collection::vec;
use proptest::prelude::*;

/// Runs every file of a target's corpus, and every file cut short and with one byte changed.
fn corpus(target: &str, entry_point: fn(&[u8])) {
    let mut files: Vec<_> = fs::read_dir(format!("tests/fuzz/corpus/{target}")).unwrap().collect();
    files.sort_by_key(|file| file.as_ref().unwrap().path());
    assert!(!files.is_empty());
    for file in files {
        let data = fs::read(file.unwrap().path()).unwrap();
        entry_point(&data);
        for step in 0..16 {
            let at = data.len() * step / 16;
            entry_point(&data[..at]);
            let mut changed = data.clone();
            if let Some(byte) = changed.get_mut(at) {
                *byte ^= 1 << (step % 8);
                entry_point(&changed);
            }
        }
    }
}

#[test]
fn corpora() {
    corpus("datagram", entry_points::datagram);
    corpus("handshake", entry_points::handshake);
    corpus("established", entry_points::established);
    corpus("chat", entry_points::chat);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn datagram(data in vec(any::<u8>(), 0..1_500)) {
        entry_points::datagram(&data);
    }

    #[test]
    fn handshake(data in vec(any::<u8>(), 0..300)) {
        entry_points::handshake(&data);
    }

    #[test]
    fn established(data in vec(any::<u8>(), 0..600)) {
        entry_points::established(&data);
    }

    #[test]
    fn chat(data in vec(any::<u8>(), 0..1_500)) {
        entry_points::chat(&data);
    }
}
