//! Every decoder, a fixed number of damaged inputs, the same every time.
//!
//! `LYCEUM_FUZZ_ITERATIONS` sets the number.

use lyceum_fuzz::TARGETS;
use std::panic::catch_unwind;

const ITERATIONS: u64 = 20_000;

/// Numbers that look random (splitmix64).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, most: usize) -> usize {
        (self.next() % most.max(1) as u64) as usize
    }
}

/// One damage: a bit, a byte, a number of eight bytes, a piece out, a piece doubled, an end cut off.
fn damage(bytes: &mut Vec<u8>, dice: &mut Dice) {
    let at = dice.below(bytes.len());
    let end = bytes.len().min(at + 1 + dice.below(16));
    match dice.below(8) {
        0 | 1 if !bytes.is_empty() => bytes[at] ^= 1 << dice.below(8),
        2 if !bytes.is_empty() => bytes[at] = dice.next() as u8,
        3 if bytes.len() >= at + 8 => {
            const NUMBERS: [u64; 6] = [0, 1, u64::MAX, 1 << 63, 1 << 40, u32::MAX as u64];
            let number = NUMBERS[dice.below(NUMBERS.len())];
            bytes[at..at + 8].copy_from_slice(&number.to_le_bytes());
        }
        4 => drop(bytes.drain(at..end)),
        5 => {
            let piece = bytes[at.min(end)..end].to_vec();
            bytes.splice(at..at, piece);
        }
        6 => bytes.truncate(at),
        _ => bytes.insert(at, b"0123456789abcdef\n\"[]=.-e"[dice.below(24)]),
    }
}

#[test]
fn no_decoder_panics_on_damaged_bytes() {
    let iterations = std::env::var("LYCEUM_FUZZ_ITERATIONS");
    let iterations = iterations.map_or(ITERATIONS, |n| n.parse().expect("a number"));
    for (name, target, seeds) in TARGETS {
        let seeds = seeds();
        seeds.iter().for_each(|seed| target(seed));
        let mut dice = Dice(1);
        for iteration in 0..iterations {
            let mut bytes = seeds[dice.below(seeds.len())].clone();
            for _ in 0..1 + dice.below(4) {
                damage(&mut bytes, &mut dice);
            }
            if catch_unwind(|| target(&bytes)).is_err() {
                panic!("{name} panics in iteration {iteration} on {bytes:?}");
            }
        }
    }
}
