//! The machine's limit: single-precision products by OpenBLAS, found at run time.
//!
//! Nothing of Lyceum computes with it; it is the yardstick that results are divided by.
#![allow(unsafe_code)]

use libloading::{Library, Symbol};
use std::{ffi::c_int, hint::black_box, thread, time::Instant};

const NAMES: [&str; 4] = [
    "libopenblas.so.0",
    "libopenblas.so",
    "libopenblas.dylib",
    "libopenblas.dll",
];
const ROW_MAJOR: c_int = 101;
const PLAIN: c_int = 111;

type Sgemm = unsafe extern "C" fn(
    c_int,
    c_int,
    c_int,
    c_int,
    c_int,
    c_int,
    f32,
    *const f32,
    c_int,
    *const f32,
    c_int,
    f32,
    *mut f32,
    c_int,
);

/// A loaded OpenBLAS, with one thread per call.
pub(super) struct OpenBlas(Library);

impl OpenBlas {
    /// Looks for the library in `path`, or where the system looks.
    pub(super) fn find(path: Option<&str>) -> Option<Self> {
        let names = path.into_iter().chain(NAMES);
        // SAFETY: loading runs the library's initialisers; this is OpenBLAS or what the user named as such.
        let library = names
            .into_iter()
            .find_map(|name| unsafe { Library::new(name) }.ok())?;
        // SAFETY: the signature is that of OpenBLAS' `cblas.h`.
        unsafe {
            let set: Symbol<'_, unsafe extern "C" fn(c_int)> =
                library.get(b"openblas_set_num_threads\0").ok()?;
            set(1);
            library.get::<Sgemm>(b"cblas_sgemm\0").ok()?;
        }
        Some(Self(library))
    }

    /// Operations per second of `threads` threads that each multiply rows x inner by inner x columns: the best of
    /// several tries.
    pub(super) fn rate(&self, threads: usize, [rows, inner, columns]: [usize; 3]) -> f64 {
        let flops = 2.0 * (rows * inner * columns) as f64;
        let repeats = (2e8 / flops).ceil().max(1.0) as usize;
        let seconds = (0..7).map(|_| {
            let start = Instant::now();
            thread::scope(|scope| {
                for _ in 0..threads {
                    scope.spawn(|| self.multiply([rows, inner, columns], repeats));
                }
            });
            start.elapsed().as_secs_f64()
        });
        let best = seconds.fold(f64::INFINITY, f64::min);
        flops * (repeats * threads) as f64 / best
    }

    fn multiply(&self, [rows, inner, columns]: [usize; 3], repeats: usize) {
        let (a, b) = (vec![0.5_f32; rows * inner], vec![0.25_f32; inner * columns]);
        let mut c = vec![0.0_f32; rows * columns];
        let [m, k, n] = [rows, inner, columns].map(|size| size as c_int);
        // SAFETY: `find` has looked the symbol up, and the signature is that of `cblas.h`; the matrices are row-major
        // without gaps and as large as the sizes say.
        unsafe {
            let Ok(sgemm) = self.0.get::<Sgemm>(b"cblas_sgemm\0") else {
                return;
            };
            for _ in 0..repeats {
                sgemm(
                    ROW_MAJOR,
                    PLAIN,
                    PLAIN,
                    m,
                    n,
                    k,
                    1.0,
                    a.as_ptr(),
                    k,
                    b.as_ptr(),
                    n,
                    0.0,
                    c.as_mut_ptr(),
                    n,
                );
                black_box(&mut c);
            }
        }
    }
}
