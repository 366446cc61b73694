//! Buffers that threads keep between calls.

use std::cell::RefCell;

/// Pages of two megabytes spare half of the address translations of the products; the system is asked for them where it can be.
const HUGE_PAGE: usize = 2 << 20;

/// Floats at a fixed address, aligned for large pages. Their values are whatever the last use left.
pub(crate) struct Workspace {
    data: *mut f32,
    len: usize,
}

// SAFETY: it owns its memory.
unsafe impl Send for Workspace {}

impl Workspace {
    pub const fn new() -> Self {
        Self { data: std::ptr::null_mut(), len: 0 }
    }

    fn layout(len: usize) -> std::alloc::Layout {
        let bytes = len * size_of::<f32>();
        let align = if bytes >= HUGE_PAGE { HUGE_PAGE } else { 64 };
        std::alloc::Layout::from_size_align(bytes.next_multiple_of(align).max(align), align).expect("a size in bytes")
    }

    /// At least `len` floats. The first use of memory reads as zeros.
    pub fn get(&mut self, len: usize) -> *mut f32 {
        if len > self.len {
            self.free();
            let layout = Self::layout(len);
            // SAFETY: the size is not zero.
            let data = unsafe { std::alloc::alloc_zeroed(layout) };
            if data.is_null() {
                std::alloc::handle_alloc_error(layout);
            }
            #[cfg(target_os = "linux")]
            if layout.align() == HUGE_PAGE {
                // SAFETY: advice on memory that is ours; a refusal changes nothing.
                unsafe { libc::madvise(data.cast(), layout.size(), libc::MADV_HUGEPAGE) };
            }
            self.data = data.cast();
            self.len = len;
        }
        self.data
    }

    fn free(&mut self) {
        if !self.data.is_null() {
            // SAFETY: allocated by `get` with this layout.
            unsafe { std::alloc::dealloc(self.data.cast(), Self::layout(self.len)) };
            self.data = std::ptr::null_mut();
            self.len = 0;
        }
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        self.free();
    }
}

thread_local! {
    static MINE: RefCell<Workspace> = const { RefCell::new(Workspace::new()) };
    static SHARED: RefCell<Workspace> = const { RefCell::new(Workspace::new()) };
}

/// Runs `f` with `len` floats that belong to this thread.
pub(crate) fn with_mine<R>(len: usize, f: impl FnOnce(*mut f32) -> R) -> R {
    MINE.with(|w| match w.try_borrow_mut() {
        Ok(mut w) => f(w.get(len)),
        // A task that was stolen while this thread waits in another one.
        Err(_) => f(Workspace::new().get(len)),
    })
}

/// Runs `f` with `len` floats for a call that spreads over threads, owned by the thread that made the call.
pub(crate) fn with_shared<R>(len: usize, f: impl FnOnce(*mut f32) -> R) -> R {
    SHARED.with(|w| match w.try_borrow_mut() {
        Ok(mut w) => f(w.get(len)),
        Err(_) => f(Workspace::new().get(len)),
    })
}

/// An address that may cross threads.
#[derive(Clone, Copy)]
pub(crate) struct Address<T>(pub *mut T);

// SAFETY: whoever uses it sees to it that threads write to different places.
unsafe impl<T> Send for Address<T> {}
unsafe impl<T> Sync for Address<T> {}

impl<T> Address<T> {
    /// The pointer (a method, so that closures capture the whole).
    pub fn get(self) -> *mut T {
        self.0
    }
}
