//! The field of 256 elements with x^8 + x^4 + x^3 + x^2 + 1 that error correction counts in, and its
//! code (MS-RTSP 2.2.2.2, whose printed tables have errors).
// RTSP-26

use super::fec::SPAN_MAX;

const POLYNOMIAL: u16 = 0x11D;
const SPAN: usize = SPAN_MAX as usize;

const TABLES: ([u8; 510], [u8; 256]) = tables();
/// Powers of 2, twice over so that sums of two logarithms need no modulo.
pub(super) const EXP: [u8; 510] = TABLES.0;
/// Logarithms to base 2; that of 0 is not used.
pub(super) const LOG: [u8; 256] = TABLES.1;

const fn tables() -> ([u8; 510], [u8; 256]) {
    let (mut exp, mut log) = ([0; 510], [0; 256]);
    let mut power: u16 = 1;
    let mut n = 0;
    while n < 255 {
        exp[n] = power as u8;
        exp[n + 255] = power as u8;
        log[power as usize] = n as u8;
        power <<= 1;
        if power > 0xFF {
            power ^= POLYNOMIAL;
        }
        n += 1;
    }
    (exp, log)
}

pub(super) fn mul(a: u8, b: u8) -> u8 {
    if a == 0 || b == 0 {
        return 0;
    }
    let sum = usize::from(LOG[usize::from(a)]) + usize::from(LOG[usize::from(b)]);
    EXP[sum]
}

/// `a` must not be 0.
pub(super) fn inverse(a: u8) -> u8 {
    EXP[255 - usize::from(LOG[usize::from(a)])]
}

/// Coefficients of correction packet `f` over `k` sources: what extends to point k + f + 1 the
/// polynomial that has the sources' values at the points 1 to k. This is row k + f of the
/// Vandermonde matrix over those points times the inverse of its first k rows.
pub(super) fn row(k: usize, f: usize) -> [u8; SPAN] {
    let point = (k + f + 1) as u8;
    let mut row = [0; SPAN];
    for (n, slot) in row.iter_mut().enumerate().take(k) {
        let own = n as u8 + 1;
        let others = (1..=k as u8).filter(|p| *p != own);
        *slot = others.fold(1, |product, p| {
            mul(product, mul(point ^ p, inverse(own ^ p)))
        });
    }
    row
}

/// The inverse of a square matrix; `None` if it has none.
pub(super) fn invert(mut m: Vec<Vec<u8>>) -> Option<Vec<Vec<u8>>> {
    let n = m.len();
    for (i, row) in m.iter_mut().enumerate() {
        row.resize(2 * n, 0);
        *row.get_mut(n + i)? = 1;
    }
    for column in 0..n {
        let pivot = (column..n).find(|&r| m[r][column] != 0)?;
        m.swap(column, pivot);
        let by = inverse(m[column][column]);
        m[column].iter_mut().for_each(|v| *v = mul(*v, by));
        let pivot_row = m[column].clone();
        for (_, row) in m.iter_mut().enumerate().filter(|(r, _)| *r != column) {
            let by = row[column];
            row.iter_mut()
                .zip(&pivot_row)
                .for_each(|(v, p)| *v ^= mul(*p, by));
        }
    }
    Some(m.into_iter().map(|row| row[n..].to_vec()).collect())
}

/// Multiplication by one element, by halves of a byte.
pub(super) struct Multiplier {
    low: [u8; 16],
    high: [u8; 16],
}

impl Multiplier {
    pub(super) fn new(by: u8) -> Multiplier {
        Multiplier {
            low: std::array::from_fn(|n| mul(by, n as u8)),
            high: std::array::from_fn(|n| mul(by, (n as u8) << 4)),
        }
    }

    pub(super) fn of(&self, value: u8) -> u8 {
        self.low[usize::from(value & 0x0F)] ^ self.high[usize::from(value >> 4)]
    }

    /// Add the products to `sum`, as far as both reach.
    pub(super) fn add(&self, sum: &mut [u8], values: &[u8]) {
        sum.iter_mut()
            .zip(values)
            .for_each(|(s, v)| *s ^= self.of(*v));
    }
}

#[cfg(test)]
mod tests {
    use super as gf;

    // RTSP-26: the rows of the reference, and the cells that the protocol document misprints.
    #[test]
    fn rows_of_the_reference() {
        let row = |k: usize, f: usize| gf::row(k, f)[..k].to_vec();
        assert_eq!((row(1, 0), row(1, 1)), (vec![1], vec![1]));
        assert_eq!(row(4, 0), [0x52, 0xf7, 0x02, 0xa6]);
        assert_eq!(row(4, 1), [0xf7, 0x07, 0x04, 0xf5]);
        assert_eq!(row(6, 0), [0xba, 0x69, 0xd3, 0xd2, 0x68, 0xbb]);
        assert_eq!(row(6, 1), [0xfe, 0x60, 0x89, 0x60, 0xf7, 0x81]);
        assert_eq!(row(6, 2), [0x56, 0x3a, 0x7b, 0x93, 0xac, 0x29]);
        assert_eq!(row(6, 3), [0xd8, 0x02, 0xcd, 0x25, 0x95, 0xa6]);
        assert_eq!(row(8, 0), [0xe5, 0x68, 0x5c, 0xe8, 0xd2, 0x29, 0x5f, 0x9c]);
        assert_eq!(row(8, 1), [0x68, 0x20, 0xb8, 0xe1, 0x95, 0x1f, 0x3c, 0xa6]);
        assert_eq!(gf::EXP[0x4A], 137);
        assert_eq!(gf::LOG[0x12], 224);
        assert_eq!(gf::LOG[0xDE], 62);
    }

    // RTSP-26: equal values give themselves, so every row sums to 1.
    #[test]
    fn every_row_sums_to_one() {
        for k in 1..=24 {
            for f in 0..24 {
                let sum = gf::row(k, f)[..k].iter().fold(0, |a, b| a ^ b);
                assert_eq!(sum, 1, "k {k}, f {f}");
            }
        }
    }
}
