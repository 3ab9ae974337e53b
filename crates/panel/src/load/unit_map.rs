//! Units by their integer identifiers, for rows in any order: a lookup touches one cache line, which is asked for some
//! rows ahead.

use super::prefetch::prefetch;

/// A unit: what a row needs of it, beside its identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KnownUnit {
    pub(super) unit: u32,
    pub(super) stratum: u16,
}

/// One place of the table; `number` is that of the unit plus 1, and 0 where there is none.
#[derive(Clone, Copy, Default)]
struct Place {
    id: i64,
    number: u32,
    stratum: u16,
}

/// A hash table with open addressing; it is at most three quarters full.
#[derive(Default)]
pub(super) struct UnitMap {
    /// A power of two of places, or none.
    places: Vec<Place>,
    units: usize,
}

impl UnitMap {
    /// Asks for the place where a lookup of `id` will begin.
    #[inline]
    pub(super) fn prefetch(&self, id: i64) {
        if let Some(place) = self.places.get(self.first(id)) {
            prefetch(place);
        }
    }

    /// Returns the unit of an identifier.
    #[inline]
    pub(super) fn get(&self, id: i64) -> Option<KnownUnit> {
        let place = self.places.get(self.find(id)?)?;
        let unit = place.number.checked_sub(1)?;
        Some(KnownUnit { unit, stratum: place.stratum })
    }

    /// Adds a unit whose identifier is not there yet.
    pub(super) fn insert(&mut self, id: i64, known: KnownUnit) {
        if (self.units + 1) * 4 > self.places.len() * 3 {
            self.grow();
        }
        self.put(Place { id, number: known.unit + 1, stratum: known.stratum });
        self.units += 1;
    }

    fn put(&mut self, place: Place) {
        if let Some(at) = self.find(place.id) {
            self.places[at] = place;
        }
    }

    fn grow(&mut self) {
        let places = vec![Place::default(); (self.places.len() * 2).max(1 << 10)];
        let before = std::mem::replace(&mut self.places, places);
        before.into_iter().filter(|place| place.number != 0).for_each(|place| self.put(place));
    }

    /// Returns the place that holds an identifier, or the empty one where it belongs; `None` without places.
    #[inline]
    fn find(&self, id: i64) -> Option<usize> {
        let last = self.places.len().checked_sub(1)?;
        let mut at = self.first(id);
        while self.places[at].number != 0 && self.places[at].id != id {
            at = (at + 1) & last;
        }
        Some(at)
    }

    /// Returns the place at which the search for an identifier begins: the upper bits of its product with a constant,
    /// in which all bits of the identifier have a part.
    #[inline]
    fn first(&self, id: i64) -> usize {
        const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
        let mixed = (id as u64).wrapping_mul(FACTOR);
        let mixed = (mixed ^ (mixed >> 32)).wrapping_mul(FACTOR);
        let bits = self.places.len().max(2).trailing_zeros();
        (mixed >> (64 - bits)) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_found_again_however_their_identifiers_lie() {
        for step in [1, -1, 10, 1 << 20, 1 << 40, i64::MAX / 5000] {
            let mut map = UnitMap::default();
            assert_eq!(map.get(0), None);
            let id = |unit: u32| i64::from(unit).wrapping_mul(step);
            for unit in 0..5000 {
                assert_eq!(map.get(id(unit)), None);
                map.insert(id(unit), KnownUnit { unit, stratum: (unit % 7) as u16 });
                map.prefetch(id(unit));
            }
            for unit in 0..5000 {
                assert_eq!(map.get(id(unit)), Some(KnownUnit { unit, stratum: (unit % 7) as u16 }));
            }
        }
    }
}
