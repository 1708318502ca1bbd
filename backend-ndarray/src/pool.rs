//! Recycled storage.
//!
//! A training step asks for the same sizes again and again. Returned vectors are kept on shelves by
//! size class and handed out with whatever they held: fresh pages from the system cost more than
//! the arithmetic of a large elementwise operation. Small arrays go to the allocator, which is as
//! fast as a lock.

use std::mem;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use crate::elem::Elem;

/// Arrays below this many elements are not recycled.
const SMALLEST: usize = 1024;

/// Size classes that serve a request, the narrowest first: up to half as large again. Batches drawn at
/// random differ in size from step to step, and would each keep storage of their own. For the same reason
/// a request that none of these can serve takes the place of a vector that would have to be as much larger.
const SERVING: usize = 3;

/// A shelf that would hold more than this many bytes is emptied: the workload has changed.
const LIMIT_BYTES: usize = 1 << 30;

/// The shelves of a device, one per element type.
#[derive(Default)]
pub(crate) struct Memory {
    pub(crate) f32: Shelf<f32>,
    pub(crate) f64: Shelf<f64>,
    pub(crate) i64: Shelf<i64>,
}

/// Vectors that nobody uses, by size class.
pub(crate) struct Shelf<T>(Mutex<Free<T>>);

struct Free<T> {
    /// By [`place`] of the size class.
    vecs: Vec<Vec<Vec<T>>>,
    bytes: usize,
}

impl<T> Free<T> {
    /// A vector from the first of these places that has one.
    fn take(&mut self, places: Range<usize>) -> Option<Vec<T>> {
        let mut vecs = self.vecs.iter_mut().skip(places.start).take(places.len());
        let vec = vecs.find_map(Vec::pop)?;
        self.bytes -= vec.len() * size_of::<T>();
        Some(vec)
    }
}

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        Shelf(Mutex::new(Free { vecs: Vec::new(), bytes: 0 }))
    }
}

impl<T> Shelf<T> {
    /// A vector for a request of this class, if there is one.
    fn take(&self, class: usize) -> Option<Vec<T>> {
        let mut free = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(vec) = free.take(place(class)..place(class) + SERVING) {
            return Some(vec);
        }
        let outgrown = free.take(place(class).saturating_sub(SERVING)..place(class));
        drop(free);
        drop(outgrown);
        None
    }

    fn put(&self, vec: Vec<T>) {
        let bytes = vec.len() * size_of::<T>();
        if bytes > LIMIT_BYTES {
            return;
        }
        let mut evicted = Vec::new();
        let mut free = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if free.bytes + bytes > LIMIT_BYTES {
            evicted = mem::take(&mut free.vecs);
            free.bytes = 0;
        }
        free.bytes += bytes;
        let place = place(vec.len());
        if free.vecs.len() <= place {
            free.vecs.resize_with(place + 1, Vec::new);
        }
        free.vecs[place].push(vec);
        drop(free);
        drop(evicted);
    }
}

/// The length of the vector that holds `n` elements: at most a quarter more, in few steps, so that
/// a last smaller batch finds the storage of a full one of nearly its size.
fn class(n: usize) -> usize {
    let step = 1 << (n.ilog2() - 2);
    n.next_multiple_of(step)
}

/// The number of a size class, counted from the smallest: four for each power of two.
fn place(class: usize) -> usize {
    let octave = class.ilog2();
    4 * octave as usize + (class >> (octave - 2)) % 4
}

/// Storage of an array. Returns to its shelf when dropped.
pub(crate) struct Store<T: Elem> {
    data: Vec<T>,
    home: Option<Arc<Memory>>,
}

impl<T: Elem> Store<T> {
    /// Room for at least `n` elements, whose values are unspecified.
    pub(crate) fn take(memory: &Arc<Memory>, n: usize) -> Self {
        if n < SMALLEST {
            // Not `vec!`, which asks for zeroed memory: glibc takes that from no cache of the thread.
            let mut data = Vec::with_capacity(n);
            data.resize(n, T::ZERO);
            return Store { data: poisoned(data), home: None };
        }
        let class = class(n);
        let data = T::shelf(memory).take(class).unwrap_or_else(|| vec![T::ZERO; class]);
        Store { data: poisoned(data), home: Some(Arc::clone(memory)) }
    }

    /// All elements, of which there may be more than were asked for.
    pub(crate) fn data(&self) -> &[T] {
        &self.data
    }

    /// As [`Store::data`], for writing.
    pub(crate) fn data_mut(&mut self) -> &mut [T] {
        &mut self.data
    }
}

impl<T: Elem> Drop for Store<T> {
    fn drop(&mut self) {
        if let Some(home) = self.home.take() {
            T::shelf(&home).put(mem::take(&mut self.data));
        }
    }
}

/// In tests storage comes full of a value that a kernel which reads before it writes cannot hide.
fn poisoned<T: Elem>(mut data: Vec<T>) -> Vec<T> {
    if cfg!(all(test, debug_assertions)) {
        data.fill(T::from_f64(f64::NAN).plus(T::from_i64(0x7ead_beef)));
    }
    data
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held<T>(shelf: &Shelf<T>) -> usize {
        shelf.0.lock().unwrap().bytes
    }

    #[test]
    fn storage_is_used_again() {
        let memory = Arc::new(Memory::default());
        let first = Store::<f32>::take(&memory, 5000);
        let place = first.data().as_ptr();
        drop(first);
        assert_eq!(held(&memory.f32), class(5000) * 4);
        let second = Store::<f32>::take(&memory, 4990);
        assert_eq!(second.data().as_ptr(), place);
        assert_eq!(held(&memory.f32), 0);
        assert_ne!(Store::<f32>::take(&memory, 5000).data().as_ptr(), place);
    }

    #[test]
    fn a_batch_of_another_size_finds_the_storage_of_the_last() {
        let memory = Arc::new(Memory::default());
        let large = Store::<f32>::take(&memory, 28_000);
        let place = large.data().as_ptr();
        drop(large);
        assert_ne!(Store::<f32>::take(&memory, 16_000).data().as_ptr(), place, "too large for it");
        let smaller = Store::<f32>::take(&memory, 20_000);
        assert_eq!(smaller.data().as_ptr(), place);
        assert_eq!(smaller.data().len(), class(28_000));
    }

    #[test]
    fn storage_that_was_outgrown_makes_room_for_larger() {
        let memory = Arc::new(Memory::default());
        let hold = |n| drop(Store::<f32>::take(&memory, n));
        hold(20_000);
        hold(28_000);
        assert_eq!(held(&memory.f32), class(28_000) * 4, "the larger one took its place");
        hold(20_000);
        hold(80_000);
        assert_eq!(held(&memory.f32), (class(28_000) + class(80_000)) * 4, "of another kind");
    }

    #[test]
    fn small_arrays_are_not_kept() {
        let memory = Arc::new(Memory::default());
        drop(Store::<i64>::take(&memory, SMALLEST - 1));
        assert_eq!(held(&memory.i64), 0);
        assert_eq!(Store::<f64>::take(&memory, 0).data().len(), 0);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let shelf = Shelf::<f64>::default();
        for _ in 0..5 {
            shelf.put(Vec::from_iter(std::iter::repeat_n(0.0, LIMIT_BYTES / 32)));
        }
        assert_eq!(held(&shelf), LIMIT_BYTES / 4);
    }

    #[test]
    fn size_classes_waste_at_most_a_quarter() {
        for n in [1024, 1025, 5000, 1 << 20, (1 << 20) + 1, 1_000_003] {
            let class = class(n);
            assert!(class >= n && class <= n + n / 4 && super::class(class) == class);
        }
    }

    #[test]
    fn every_size_class_has_a_place_of_its_own() {
        let mut class = class(SMALLEST);
        while class < 1 << 40 {
            let next = super::class(class + 1);
            assert_eq!(place(next), place(class) + 1, "{class} and {next}");
            class = next;
        }
    }
}
