//! Pixel buffers that a thread uses again.
//!
//! An image of 640x480 pixels is a megabyte that lives for a millisecond. Asked of the system each time, a tenth of the
//! loader's time would go into fresh pages; so what was decoded and resized leaves its memory to the next image.

use std::cell::RefCell;

use image::RgbImage;

/// Bytes that one thread keeps at most.
const KEPT_BYTES: usize = 64 << 20;
/// Buffers that one thread keeps at most.
const KEPT: usize = 32;

thread_local! {
    static SPARE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// A black image, in used memory where some is large enough.
pub(crate) fn black(width: u32, height: u32) -> RgbImage {
    let bytes = 3 * width as usize * height as usize;
    let spare = SPARE.with_borrow_mut(|spare| {
        let fitting = spare.iter().enumerate().filter(|(_, buffer)| buffer.capacity() >= bytes);
        let smallest = fitting.min_by_key(|(_, buffer)| buffer.capacity()).map(|(at, _)| at);
        smallest.map(|at| spare.swap_remove(at))
    });
    let pixels = match spare {
        Some(mut buffer) => {
            buffer.clear();
            buffer.resize(bytes, 0);
            buffer
        }
        None => vec![0; bytes],
    };
    RgbImage::from_raw(width, height, pixels).expect("the buffer has width x height x 3 bytes")
}

/// Leaves an image's memory to later images of this thread.
pub(crate) fn give_back(image: RgbImage) {
    let buffer = image.into_raw();
    SPARE.with_borrow_mut(|spare| {
        let kept: usize = spare.iter().map(Vec::capacity).sum();
        if buffer.capacity() > 0 && spare.len() < KEPT && kept + buffer.capacity() <= KEPT_BYTES {
            spare.push(buffer);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn used_memory_comes_back_black_and_is_bounded() {
        give_back(RgbImage::from_pixel(40, 30, image::Rgb([9; 3])));
        give_back(RgbImage::from_pixel(20, 10, image::Rgb([9; 3])));
        let small = black(10, 10);
        assert_eq!(small, RgbImage::new(10, 10));
        assert_eq!(small.into_raw().capacity(), 20 * 10 * 3);
        assert_eq!(black(40, 30), RgbImage::new(40, 30));
        (0..2 * KEPT).for_each(|_| give_back(RgbImage::new(2, 2)));
        assert_eq!(SPARE.with_borrow(Vec::len), KEPT);
        give_back(RgbImage::new(8000, 8000));
        assert_eq!(SPARE.with_borrow(Vec::len), KEPT);
    }
}
