//! Counts in a rolling window: one slot a minute or an hour, the oldest overwritten by the newest.

use super::codec::{Malformed, Reader, Writer};

/// Milliseconds in a minute.
pub const MINUTE: i64 = 60_000;
/// Milliseconds in an hour.
pub const HOUR: i64 = 60 * MINUTE;
/// Milliseconds in a day.
pub const DAY: i64 = 24 * HOUR;

/// Counts of the last `N` slots of time. A slot is named by its number since the epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ring<const N: usize> {
    newest: u32,
    slots: [u32; N],
}

impl<const N: usize> Default for Ring<N> {
    fn default() -> Self {
        Self {
            newest: 0,
            slots: [0; N],
        }
    }
}

impl<const N: usize> Ring<N> {
    /// Counts `count` in a slot. Slots that are older than the window are past counting; a newer one moves the window.
    pub fn add(&mut self, slot: u32, count: u32) {
        self.advance(slot);
        if self.newest - slot.min(self.newest) < N as u32
            && let Some(place) = self.slots.get_mut(slot as usize % N)
        {
            *place = place.saturating_add(count);
        }
    }

    fn advance(&mut self, slot: u32) {
        if slot <= self.newest {
            return;
        }
        let passed = (slot - self.newest).min(N as u32);
        for offset in 0..passed {
            if let Some(place) = self.slots.get_mut((slot - offset) as usize % N) {
                *place = 0;
            }
        }
        self.newest = slot;
    }

    /// The count of a slot; 0 outside of the window.
    pub fn at(&self, slot: u32) -> u32 {
        if slot > self.newest || self.newest - slot >= N as u32 {
            return 0;
        }
        self.slots.get(slot as usize % N).copied().unwrap_or(0)
    }

    /// The sum of `length` slots, the last of which is `last`.
    pub fn sum(&self, last: u32, length: u32) -> u32 {
        let first = last.saturating_sub(length.saturating_sub(1));
        (first..=last).fold(0, |sum, slot| sum.saturating_add(self.at(slot)))
    }

    /// The slots that were counted in, with their counts, oldest first.
    pub fn counted(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        let oldest = self.newest.saturating_sub(N as u32 - 1);
        (oldest..=self.newest)
            .map(|slot| (slot, self.at(slot)))
            .filter(|(_, count)| *count > 0)
    }

    /// Writes the counted slots.
    pub fn write(&self, out: &mut Writer) {
        let counted: Vec<(u32, u32)> = self.counted().collect();
        out.number(u64::from(self.newest));
        out.number(counted.len() as u64);
        for (slot, count) in counted {
            out.number(u64::from(self.newest - slot));
            out.number(u64::from(count));
        }
    }

    /// Reads what [`Ring::write`] wrote.
    pub fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut ring = Self {
            newest: from.narrow()?,
            slots: [0; N],
        };
        for _ in 0..from.length(N)? {
            let (age, count) = (from.narrow()?, from.narrow()?);
            let slot = ring.newest.checked_sub(age).ok_or(Malformed)?;
            ring.add(slot, count);
        }
        Ok(ring)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_forgets_what_is_older_than_itself() {
        let mut ring = Ring::<60>::default();
        ring.add(1_000, 5);
        ring.add(1_059, 1);
        assert_eq!(ring.sum(1_059, 60), 6, "both are among the last 60 minutes");
        ring.add(1_060, 1);
        assert_eq!(ring.sum(1_060, 60), 2, "the first is now 60 minutes old");
        assert_eq!(ring.at(1_000), 0, "and its slot belongs to another minute");
    }

    #[test]
    fn a_late_count_finds_its_slot_and_a_very_late_one_is_ignored() {
        let mut ring = Ring::<60>::default();
        ring.add(1_060, 1);
        ring.add(1_001, 2);
        ring.add(1_000, 4);
        assert_eq!(ring.counted().collect::<Vec<_>>(), [(1_001, 2), (1_060, 1)]);
    }

    #[test]
    fn a_jump_empties_the_window_and_counts_saturate() {
        let mut ring = Ring::<24>::default();
        ring.add(10, u32::MAX);
        ring.add(10, 1);
        assert_eq!(ring.sum(10, 24), u32::MAX);
        ring.add(1_000_000, 1);
        assert_eq!(ring.sum(1_000_000, 24), 1);
        assert_eq!(ring.sum(1_000_500, 24), 0, "the window is that of the question");
    }
}
