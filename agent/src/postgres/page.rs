//! Checks data pages with PostgreSQL's own checksum (`storage/checksum_impl.h`).

/// Bytes of a page; no PostgreSQL package uses another size.
pub const PAGE_BYTES: usize = 8192;

const LANES: usize = 32;
const PRIME: u32 = 16_777_619;
#[rustfmt::skip]
const SEEDS: [u32; LANES] = [
    0x5B1F_36E9, 0xB852_5960, 0x02AB_50AA, 0x1DE6_6D2A, 0x79FF_467A, 0x9BB9_F8A3, 0x217E_7CD2, 0x83E1_3D2C,
    0xF8D4_474F, 0xE39E_B970, 0x42C6_AE16, 0x9932_16FA, 0x7B09_3B5D, 0x98DA_FF3C, 0xF718_902A, 0x0B1C_9CDB,
    0xE58F_764B, 0x1876_36BC, 0x5D7B_3BB1, 0xE73D_E7DE, 0x92BE_C979, 0xCCA6_C0B2, 0x304A_0979, 0x85AA_43D4,
    0x7831_25BB, 0x6CA8_EAA2, 0xE407_EAC6, 0x4B5C_FC3E, 0x9FBF_8C76, 0x15CA_20BE, 0xF2CA_9FD3, 0x959B_D756,
];

/// The state of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageState {
    /// Its checksum is right, or it was never written (`pd_upper` is 0).
    Good,
    /// Its LSN is at or after the given one: it may be torn, but WAL replay writes it again.
    Replayed,
    /// Its checksum is wrong.
    Bad,
}

/// Checks one page of [`PAGE_BYTES`]. `block` counts from the start of the relation, across its
/// segments; `start_lsn` is where replay starts.
pub fn look(page: &[u8], block: u32, start_lsn: u64) -> PageState {
    assert_eq!(page.len(), PAGE_BYTES, "a whole page");
    if u16_at(page, 14) == 0 {
        return PageState::Good; // new: PageIsNew()
    }
    let lsn = u64::from(u32_at(page, 0)) << 32 | u64::from(u32_at(page, 4));
    if lsn >= start_lsn {
        return PageState::Replayed;
    }
    if checksum(page, block) == u16_at(page, 8) { PageState::Good } else { PageState::Bad }
}

/// PostgreSQL's `pg_checksum_page`: the stored checksum itself counts as zero.
fn checksum(page: &[u8], block: u32) -> u16 {
    let mut sums = SEEDS;
    for (row, bytes) in page.as_chunks::<{ 4 * LANES }>().0.iter().enumerate() {
        let mut words = [0u32; LANES];
        for (word, four) in words.iter_mut().zip(bytes.as_chunks::<4>().0) {
            *word = u32::from_ne_bytes(*four);
        }
        if row == 0 {
            words[2] = u32::from_ne_bytes([0, 0, bytes[10], bytes[11]]);
        }
        mix(&mut sums, &words);
    }
    mix(&mut sums, &[0; LANES]);
    mix(&mut sums, &[0; LANES]);
    let folded = sums.iter().fold(0, |all, sum| all ^ sum) ^ block;
    (folded % 65_535 + 1) as u16
}

fn mix(sums: &mut [u32; LANES], words: &[u32; LANES]) {
    for (sum, word) in sums.iter_mut().zip(words) {
        let mixed = *sum ^ word;
        *sum = mixed.wrapping_mul(PRIME) ^ (mixed >> 17);
    }
}

// Pages have the byte order of the machine that wrote them, which is ours: a cluster is backed up and
// restored only on its own server's host.
fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_ne_bytes([bytes[at], bytes[at + 1]])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_pages_are_good_young_ones_are_replayed_and_any_flipped_bit_shows() {
        let mut page = vec![0u8; PAGE_BYTES];
        assert_eq!(look(&page, 7, 100), PageState::Good);
        for (at, byte) in page.iter_mut().enumerate() {
            *byte = (at * 31 % 251) as u8;
        }
        page[..8].fill(0);
        page[4] = 99; // LSN 0/63
        let right = checksum(&page, 7).to_ne_bytes();
        page[8..10].copy_from_slice(&right);
        assert_eq!(look(&page, 7, 100), PageState::Good);
        assert_eq!(look(&page, 8, 100), PageState::Bad, "a page in another's place");
        assert_eq!(look(&page, 7, 99), PageState::Replayed);
        for bit in [0, 80, 4096 * 8 + 3, PAGE_BYTES * 8 - 1] {
            let mut bad = page.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(look(&bad, 7, u64::MAX), PageState::Good, "bit {bit}");
        }
    }
}
