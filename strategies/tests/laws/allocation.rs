//! How much memory one call asks for: an allocator that counts, per thread.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::ptr::null_mut;

/// The system's allocator, counting.
pub struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

/// What one thread may hold, in bytes. Beyond it the process ends with a message, before the machine suffers.
const MOST: isize = 2 << 30;

/// Counts; false where the thread must not have so much.
fn count(bytes: isize) -> bool {
    // A thread that is ending has no counters any more, and nobody asks for them.
    HELD.try_with(|held| {
        held.set(held.get() + bytes);
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(held.get())));
        held.get() <= MOST
    })
    .unwrap_or(true)
}

// SAFETY: every call is passed on as it is to the system's allocator, whose promises these are, or
// answered with null, which means that there is no memory; counting allocates nothing.
#[allow(unsafe_code, reason = "an allocator cannot be written without; this one only counts")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if !count(layout.size() as isize) {
            return null_mut();
        }
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if !count(layout.size() as isize) {
            return null_mut();
        }
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if !count(size as isize - layout.size() as isize) {
            return null_mut();
        }
        unsafe { System.realloc(block, layout, size) }
    }
}

/// What a call returns, and by how many bytes this thread's memory grew at most while it ran.
pub fn peak_growth<R>(call: impl FnOnce() -> R) -> (R, usize) {
    let before = HELD.with(Cell::get);
    PEAK.with(|peak| peak.set(before));
    let result = call();
    (result, PEAK.with(Cell::get).saturating_sub(before).max(0) as usize)
}
