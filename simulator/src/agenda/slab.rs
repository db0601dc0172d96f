//! Events at places that stay put while their keys move through the wheel.

/// A store of values by place. The place freed last is used first: it is still in the cache.
#[derive(Debug)]
pub(super) struct Slab<T> {
    places: Vec<Place<T>>,
    /// The place freed last, or `places.len()` where none is free.
    free: u32,
    len: usize,
}

#[derive(Debug)]
enum Place<T> {
    Taken(T),
    /// The place freed before this one.
    Free(u32),
}

impl<T> Slab<T> {
    pub(super) fn new() -> Self {
        Self { places: Vec::new(), free: 0, len: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Stores a value and says where.
    #[inline]
    pub(super) fn insert(&mut self, value: T) -> u32 {
        let place = self.free;
        match self.places.get_mut(place as usize) {
            Some(slot) => {
                let Place::Free(next) = *slot else { unreachable!("the free list holds no value") };
                self.free = next;
                *slot = Place::Taken(value);
            }
            None => {
                self.places.push(Place::Taken(value));
                self.free = self.places.len() as u32;
            }
        }
        self.len += 1;
        place
    }

    /// Takes the value at a place [`insert`](Self::insert) gave out.
    #[inline]
    pub(super) fn remove(&mut self, place: u32) -> T {
        let slot = &mut self.places[place as usize];
        let Place::Taken(value) = std::mem::replace(slot, Place::Free(self.free)) else {
            unreachable!("a key's event is there until it is taken")
        };
        self.free = place;
        self.len -= 1;
        value
    }
}
