//! Lines of a text file, as an editor counts them.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

/// The line, counted from 1, of the record that a CSV reader began at this byte. The reader leaves the second half of a
/// line end, and empty lines, to the record that follows; they are stepped over. Lines end with CR LF, LF or CR.
pub(super) fn line_of(path: &Path, byte: u64) -> u64 {
    File::open(path).map_or(1, |file| counted(BufReader::new(file), byte))
}

/// Whether a file begins as those of gzip, zip, xz or zstd do.
pub(super) fn is_packed(path: &Path) -> bool {
    const BEGINNINGS: [&[u8]; 4] = [
        &[0x1f, 0x8b],
        b"PK\x03\x04",
        &[0xfd, b'7', b'z'],
        &[0x28, 0xb5, 0x2f],
    ];
    let mut first = Vec::new();
    let read = File::open(path).and_then(|file| file.take(4).read_to_end(&mut first));
    read.is_ok() && BEGINNINGS.iter().any(|begin| first.starts_with(begin))
}

/// Whether the record that begins at this byte opens a quote which the file never closes. A quote within quotes is
/// doubled, so an odd number of them is left open.
pub(super) fn opens_quote(path: &Path, byte: u64) -> bool {
    let counted = |file: File| {
        let bytes = BufReader::new(file).bytes().skip(byte as usize);
        bytes
            .map_while(Result::ok)
            .filter(|byte| *byte == b'"')
            .count()
    };
    File::open(path).is_ok_and(|file| counted(file) % 2 == 1)
}

fn counted(reader: impl BufRead, byte: u64) -> u64 {
    let (mut line, mut before) = (1, 0_u8);
    for (at, next) in (0_u64..).zip(reader.bytes()) {
        let Ok(next) = next else { break };
        let ends = matches!(next, b'\n' | b'\r');
        if at >= byte && !ends {
            break;
        }
        line += u64::from(ends && !(next == b'\n' && before == b'\r'));
        before = next;
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_line_end_counts_once() {
        for (text, byte, line) in [
            ("a\nb\nc", 0, 1),
            ("a\nb\nc", 4, 3),
            ("a\r\nb\r\nc", 6, 3),
            ("a\r\nb\r\nc", 5, 3),
            ("a\rb\rc", 4, 3),
            ("a\n\n\nb", 2, 4),
            ("\"a\nb\"\nc", 6, 3),
            ("a", 9, 1),
        ] {
            assert_eq!(counted(text.as_bytes(), byte), line, "{text:?}");
        }
    }
}
