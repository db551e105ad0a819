//! The checksum of an unsealed datagram: JSON has none, and a flipped bit can make one digit another.

/// CRC-32C (Castagnoli, RFC 3720 appendix B.4) over the whole datagram, the eight digits at `digits_at` taken as zeros
/// (UC-WIRE-005).
pub(super) fn checksum(datagram: &[u8], digits_at: usize) -> u32 {
    let before = crc32c::crc32c(&datagram[..digits_at]);
    let zeros = crc32c::crc32c_append(before, b"00000000");
    crc32c::crc32c_append(zeros, &datagram[digits_at + DIGITS..])
}

/// Writes the checksum's digits where they belong.
pub(super) fn seal(datagram: &mut [u8], digits_at: usize) {
    let value = checksum(datagram, digits_at);
    datagram[digits_at..digits_at + DIGITS].copy_from_slice(&to_digits(value));
}

/// The number that eight lower-case hexadecimal digits spell; None for anything else.
pub(super) fn from_digits(digits: &[u8; DIGITS]) -> Option<u32> {
    digits.iter().try_fold(0, |value, &digit| {
        let nibble = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(value << 4 | u32::from(nibble))
    })
}

/// How many digits the checksum has.
pub(super) const DIGITS: usize = 8;

fn to_digits(value: u32) -> [u8; DIGITS] {
    std::array::from_fn(|index| {
        let nibble = (value >> (4 * (DIGITS - 1 - index))) & 0xf;
        b"0123456789abcdef"[nibble as usize]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    // UC-WIRE-005
    #[test]
    fn the_digits_count_as_zeros_and_every_bit_counts() {
        let mut datagram = br#"{"v":1,"c":"00000000"}"#.to_vec();
        let at = 12;
        assert_eq!(checksum(&datagram, at), crc32c::crc32c(&datagram));
        seal(&mut datagram, at);
        let digits = |datagram: &[u8]| from_digits(datagram[at..at + DIGITS].try_into().unwrap());
        assert_eq!(digits(&datagram), Some(checksum(&datagram, at)));
        for bit in 0..datagram.len() * 8 {
            let mut damaged = datagram.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(digits(&damaged), Some(checksum(&damaged, at)), "bit {bit}");
        }
    }

    #[test]
    fn known_value_of_the_polynomial() {
        // The check value of CRC-32C, RFC 3720 B.4 and every catalogue of checksums.
        assert_eq!(crc32c::crc32c(b"123456789"), 0xe306_9283);
    }
}
