//! The IDX format: two zero bytes, a type byte, the number of dimensions, that many big-endian
//! 32-bit sizes, then the values in row-major order. Plain or gzip.

use super::DataError;
use super::contents::Contents;
use lyceum_core::Features;

const BYTES: u8 = 0x08;
const FLOATS: u8 = 0x0d;

/// What an IDX file holds.
#[derive(Debug)]
pub(super) struct IdxFile {
    /// Number of items, then the sizes of one item.
    pub(super) sizes: Vec<usize>,
    /// All values.
    pub(super) values: Features,
}

/// Reads a whole file and checks its length against its header.
pub(super) fn read_idx(file: &mut Contents) -> Result<IdxFile, DataError> {
    let magic = file.take(4)?;
    let width: u64 = match magic[..] {
        [0, 0, BYTES, dimensions] if dimensions > 0 => 1,
        [0, 0, FLOATS, dimensions] if dimensions > 0 => 4,
        _ => return Err(file.wrong(bad_magic(&magic))),
    };
    let header = file.take(u64::from(magic[3]) * 4)?;
    let sizes: Vec<u32> = words(&header).map(u32::from_be_bytes).collect();
    let mut factors = sizes.iter().map(|&size| u64::from(size));
    let length = factors.try_fold(width, u64::checked_mul);
    let length =
        length.ok_or_else(|| file.wrong(format!("declares impossible sizes {sizes:?}")))?;
    let bytes = file.take(length)?;
    file.end()?;
    Ok(IdxFile {
        sizes: sizes.into_iter().map(|size| size as usize).collect(),
        values: if width == 1 {
            Features::U8(bytes)
        } else {
            floats(file, &bytes)?
        },
    })
}

fn floats(file: &Contents, bytes: &[u8]) -> Result<Features, DataError> {
    let values: Vec<f32> = words(bytes).map(f32::from_be_bytes).collect();
    match values.iter().position(|value| !value.is_finite()) {
        None => Ok(Features::F32(values)),
        Some(at) => Err(file.wrong(format!(
            "value {at} is {}: expected finite numbers",
            values[at]
        ))),
    }
}

fn words(bytes: &[u8]) -> impl Iterator<Item = [u8; 4]> + '_ {
    bytes
        .chunks_exact(4)
        .map(|word| [word[0], word[1], word[2], word[3]])
}

fn bad_magic(magic: &[u8]) -> String {
    format!(
        "begins with the bytes {magic:02x?}: expected an IDX file, which begins with 00 00, \
         08 (bytes) or 0d (floats), and the number of dimensions"
    )
}

/// Reads a file of labels: bytes in one dimension.
pub(super) fn read_labels(file: &mut Contents) -> Result<Vec<u32>, DataError> {
    let idx = read_idx(file)?;
    match (idx.sizes.len(), idx.values) {
        (1, Features::U8(bytes)) => Ok(bytes.into_iter().map(u32::from).collect()),
        (1, _) => Err(file.wrong(
            "holds floating-point numbers: expected labels, whole numbers from 0 to 255 in bytes"
                .into(),
        )),
        (dimensions, _) => Err(file.wrong(format!(
            "holds values in {dimensions} dimensions: expected labels, bytes in one dimension"
        ))),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write;

    pub(crate) fn idx_bytes(kind: u8, sizes: &[u32], values: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0, 0, kind, sizes.len() as u8];
        sizes
            .iter()
            .for_each(|size| bytes.extend(size.to_be_bytes()));
        bytes.extend(values);
        bytes
    }

    fn read(bytes: &[u8]) -> Result<IdxFile, String> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        let mut contents = Contents::open(file.path()).unwrap();
        read_idx(&mut contents).map_err(|error| error.to_string())
    }

    #[test]
    fn bytes_and_floats_of_any_rank_are_read() {
        let idx = read(&idx_bytes(8, &[2, 1, 3], &[1, 2, 3, 4, 5, 6])).unwrap();
        assert_eq!(idx.sizes, [2, 1, 3]);
        assert_eq!(idx.values, Features::U8(vec![1, 2, 3, 4, 5, 6]));
        let floats = [1.5_f32.to_be_bytes(), (-2.0_f32).to_be_bytes()].concat();
        let idx = read(&idx_bytes(0x0d, &[1, 2], &floats)).unwrap();
        assert_eq!(idx.values, Features::F32(vec![1.5, -2.0]));
    }

    #[test]
    fn broken_files_are_refused_with_a_reason() {
        let nan = f32::NAN.to_be_bytes();
        for (bytes, reason) in [
            (idx_bytes(8, &[3], &[1, 2]), "cut off"),
            (idx_bytes(8, &[3], &[1, 2, 3, 4]), "goes on"),
            (idx_bytes(8, &[u32::MAX, u32::MAX], &[]), "cut off"),
            (idx_bytes(8, &[u32::MAX; 9], &[]), "impossible"),
            (idx_bytes(9, &[1], &[1]), "expected an IDX file"),
            (idx_bytes(8, &[], &[1]), "expected an IDX file"),
            (idx_bytes(0x0d, &[1], &nan), "finite"),
            (b"\x00\x00".to_vec(), "cut off"),
            (Vec::new(), "is empty"),
        ] {
            let error = read(&bytes).unwrap_err();
            assert!(error.contains(reason), "{error}: {reason}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn no_bytes_break_the_reader(bytes in proptest::collection::vec(any::<u8>(), 0..64), sane: bool) {
            let mut bytes = bytes;
            if sane {
                bytes.splice(0..bytes.len().min(4), [0, 0, 8, 2]);
            }
            if let Ok(idx) = read(&bytes) {
                let Features::U8(values) = idx.values else { return Ok(()) };
                prop_assert_eq!(values.len(), idx.sizes.iter().product::<usize>());
            }
        }
    }
}
