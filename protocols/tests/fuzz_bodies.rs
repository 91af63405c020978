//! The fuzz bodies of WMSP and of client logs, over the kept corpus, over mutations of it, and over
//! anything. (Those of ASF have tests of their own.)

use proptest::prelude::*;
use protocols::{wmlog, wmsp};
use std::path::Path;

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/corpus")
        .join(name);
    let mut files: Vec<_> = std::fs::read_dir(dir)
        .expect("the corpus")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.sort();
    files
        .iter()
        .map(|file| std::fs::read(file).expect("a corpus file"))
        .collect()
}

#[test]
fn the_server_takes_the_corpus() {
    let corpus = corpus("http");
    assert!(corpus.len() >= 10);
    for bytes in &corpus {
        wmsp::fuzz::server(bytes);
    }
}

#[test]
fn logs_and_packets_take_the_corpus_of_all_protocols() {
    for bytes in corpus("http").iter().chain(&corpus("asf")) {
        wmlog::fuzz::log(bytes);
        wmsp::fuzz::packets(bytes);
    }
}

const LINE: &str = "0.0.0.0 2024-05-01 12:00:30 - http://127.0.0.1/a.wmv 0 30 1 200 \
    {3300AD50-2C39-46c0-AE0A-000000000001} 10.0.0.3802 en-US WMFSDK/10.0.0.3802_WMPlayer/10.0.0.4036 - \
    wmplayer.exe 10.0.0.3802 Windows_XP 5.1.0.2600 Pentium 60 1500000 200000 http TCP \
    Windows_Media_Audio_9 Windows_Media_Video_9 - - 750000 - 240 0 0 0 - 0 0 1 2 100 - - - -";

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn the_server_takes_damaged_requests(
        which in 0usize..64,
        at in 0usize..4096,
        with in proptest::collection::vec(any::<u8>(), 0..24),
    ) {
        let corpus = corpus("http");
        let mut bytes = corpus[which % corpus.len()].clone();
        let at = at % bytes.len().max(1);
        bytes.splice(at..(at + with.len()).min(bytes.len()), with);
        wmsp::fuzz::server(&bytes);
    }

    #[test]
    fn packets_of_anything(mut bytes in proptest::collection::vec(any::<u8>(), 0..4096), dollar: bool) {
        if let (true, Some(first)) = (dollar, bytes.first_mut()) {
            *first = b'$';
        }
        wmsp::fuzz::packets(&bytes);
    }

    // WMLOG-26
    #[test]
    fn logs_of_anything(bytes in proptest::collection::vec(any::<u8>(), 0..2048)) {
        wmlog::fuzz::log(&bytes);
    }

    // WMLOG-26
    #[test]
    fn damaged_log_lines(at in 0usize..600, with in proptest::collection::vec(any::<u8>(), 1..40)) {
        let mut bytes = LINE.as_bytes().to_vec();
        let at = at % bytes.len();
        bytes.splice(at..(at + with.len() / 2).min(bytes.len()), with);
        wmlog::fuzz::log(&bytes);
    }
}
