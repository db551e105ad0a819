//! Arithmetic in GF(2^8), and how much of which message a repair symbol has (UC-STR-015).
//!
//! It knows numbers and bytes, and nothing of who sends them or why.

/// The field's polynomial, x^8 + x^4 + x^3 + x^2 + 1, as in RFC 8681 (section 3.7.1).
const POLYNOMIAL: u16 = 0x11d;

/// The powers of 2, twice, so that the sum of two logarithms is a place in it.
static POWERS: [u8; 510] = TABLES.0;

/// The logarithm to base 2 of each element but 0.
static LOGARITHMS: [u8; 256] = TABLES.1;

const TABLES: ([u8; 510], [u8; 256]) = {
    let (mut powers, mut logarithms) = ([0; 510], [0; 256]);
    let (mut element, mut exponent) = (1_u16, 0);
    while exponent < 255 {
        powers[exponent] = element as u8;
        powers[exponent + 255] = element as u8;
        logarithms[element as usize] = exponent as u8;
        element <<= 1;
        if element > 0xff {
            element ^= POLYNOMIAL;
        }
        exponent += 1;
    }
    (powers, logarithms)
};

/// The product of two elements.
pub fn product(a: u8, b: u8) -> u8 {
    if a == 0 || b == 0 {
        return 0;
    }
    POWERS[usize::from(LOGARITHMS[usize::from(a)]) + usize::from(LOGARITHMS[usize::from(b)])]
}

/// The element that makes 1 with `a`, which is not 0.
pub fn inverse(a: u8) -> u8 {
    POWERS[255 - usize::from(LOGARITHMS[usize::from(a)])]
}

/// The share that message `seq` has in symbol `index` of packet `packet`: an entry of a Cauchy matrix. All square parts of such a
/// matrix can be inverted, so as many symbols as messages are missing are enough, whichever came. Never 0.
pub fn coefficient(packet: u64, index: usize, seq: u64) -> u8 {
    let row = 0x80 | ((packet * crate::wire::MAX_SYMBOLS as u64 + index as u64) % 0x80) as u8;
    let column = (seq % 0x80) as u8;
    inverse(row ^ column)
}

/// Adds `factor` times `source` to the front of `target`, which is no shorter.
pub fn add(target: &mut [u8], source: &[u8], factor: u8) {
    for (target, &source) in target.iter_mut().zip(source) {
        *target ^= product(source, factor);
    }
}

/// The same with a message as a symbol has it: its length in two bytes, the first the higher, its bytes, and zeros up to the end.
pub fn add_message(symbol: &mut [u8], body: &[u8], factor: u8) {
    let length = (body.len() as u16).to_be_bytes();
    add(symbol, &length, factor);
    if let Some(rest) = symbol.get_mut(length.len()..) {
        add(rest, body, factor);
    }
}

/// The message that a symbol is, if no other has a share in it; None if it is none.
pub fn message(symbol: &[u8]) -> Option<&[u8]> {
    let (&length, rest) = symbol.split_first_chunk()?;
    let (body, padding) = rest.split_at_checked(u16::from_be_bytes(length).into())?;
    padding.iter().all(|&byte| byte == 0).then_some(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The product as the definition has it: without tables, bit by bit.
    fn slow_product(a: u8, b: u8) -> u8 {
        let (mut product, mut shifted) = (0, u16::from(a));
        for bit in 0..8 {
            product ^= if b >> bit & 1 == 1 { shifted } else { 0 };
            shifted <<= 1;
            shifted ^= if shifted > 0xff { POLYNOMIAL } else { 0 };
        }
        product as u8
    }

    #[test]
    fn products_are_those_of_the_field_and_inverses_lead_back() {
        for a in 0..=255 {
            for b in 0..=255 {
                assert_eq!(product(a, b), slow_product(a, b), "{a} * {b}");
            }
            assert!(a == 0 || product(a, inverse(a)) == 1, "{a}");
        }
    }

    // UC-STR-015
    #[test]
    fn every_message_has_a_share_in_every_symbol_and_no_two_symbols_have_the_same() {
        for seq in 1..=128 {
            let mut shares: Vec<u8> = (1..=32)
                .flat_map(|packet| (0..4).map(move |index| coefficient(packet, index, seq)))
                .collect();
            shares.sort_unstable();
            shares.dedup();
            assert_eq!((shares.len(), shares[0] > 0), (128, true), "message {seq}");
        }
    }

    // UC-STR-015: the example of the spec.
    #[test]
    fn the_example() {
        assert_eq!(coefficient(10, 0, 7), 0xb7);
    }

    #[test]
    fn a_message_comes_out_as_it_went_in() {
        let mut symbol = vec![0; 9];
        add_message(&mut symbol, "maré".as_bytes(), 1);
        assert_eq!(symbol, b"\0\x05mar\xc3\xa9\0\0");
        assert_eq!(message(&symbol), Some("maré".as_bytes()));
        symbol[8] = 1;
        assert_eq!(message(&symbol), None, "something is behind it");
        assert_eq!(message(&[0, 9, 1, 2]), None, "it is longer than the symbol");
        assert_eq!(message(&[0]), None);
    }
}
