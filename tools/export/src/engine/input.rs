//! The image input of an exported file: its sizes, checked before anything is allocated for them.

use crate::onnx::proto;

/// Longest side of an image input, in pixels.
const MAX_SIDE: i64 = 16_384;
/// Most pixels of an image input (8192 x 8192).
const MAX_PIXELS: i64 = 1 << 26;
/// Most images per run.
const MAX_BATCH: i64 = 4096;

/// Sizes of an image input `[N, 3, H, W]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageInput {
    /// Images per run; none where any number goes.
    pub batch: Option<i64>,
    /// Height and width.
    pub size: [i64; 2],
}

fn shown(d: &proto::Dimension) -> String {
    match (d.dim_value, &d.dim_param) {
        (Some(v), _) => v.to_string(),
        (None, Some(name)) => name.chars().filter(|c| !c.is_control()).take(20).collect(),
        (None, None) => "?".into(),
    }
}

impl ImageInput {
    /// The first input of a file.
    ///
    /// # Errors
    /// No input, or sizes that no image batch has; the text names the input.
    pub fn of(file: &proto::Model) -> Result<Self, String> {
        let input = file.graph.as_ref().and_then(|g| g.input.first()).ok_or("it has no input")?;
        let name: String = input.name.iter().flat_map(|n| n.chars()).filter(|c| !c.is_control()).take(60).collect();
        let tensor = input.r#type.as_ref().and_then(|t| t.tensor_type.as_ref());
        let dims = tensor.and_then(|t| t.shape.as_ref()).map_or(&[][..], |s| &s.dim);
        let refuse = |what: &str| {
            let sizes: Vec<String> = dims.iter().take(8).map(shown).collect();
            Err(format!("its input '{name}' has sizes [{}]: {what}", sizes.join(", ")))
        };
        let [n, channels, height, width] = dims else { return refuse("an image batch [N, 3, H, W] is expected") };
        if channels.dim_value != Some(3) {
            return refuse("an image batch [N, 3, H, W] is expected");
        }
        let (Some(height), Some(width)) = (height.dim_value, width.dim_value) else {
            return refuse("height and width have to be fixed");
        };
        let fits = |v: i64, most: i64| (1..=most).contains(&v);
        if !fits(height, MAX_SIDE) || !fits(width, MAX_SIDE) || height * width > MAX_PIXELS {
            return refuse(&format!("height and width have to be from 1 to {MAX_SIDE}, with at most {MAX_PIXELS} pixels"));
        }
        if n.dim_value.is_some_and(|n| !fits(n, MAX_BATCH)) {
            return refuse(&format!("the batch has to be from 1 to {MAX_BATCH}, or a name for any number"));
        }
        Ok(Self { batch: n.dim_value, size: [height, width] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(sizes: [Option<i64>; 4]) -> proto::Model {
        let named = |v: Option<i64>| proto::Dimension { dim_value: v, dim_param: v.is_none().then(|| "S".to_string()) };
        let shape = proto::Shape { dim: sizes.map(named).to_vec() };
        let tensor_type = Some(proto::TensorType { elem_type: Some(1), shape: Some(shape) });
        let input = proto::ValueInfo { name: Some("images".into()), r#type: Some(proto::Type { tensor_type }) };
        proto::Model { graph: Some(proto::Graph { input: vec![input], ..Default::default() }), ..Default::default() }
    }

    #[test]
    fn fixed_and_open_batches_are_read() {
        let read = |n| ImageInput::of(&file([n, Some(3), Some(320), Some(480)])).unwrap();
        assert_eq!(read(Some(2)), ImageInput { batch: Some(2), size: [320, 480] });
        assert_eq!(read(None), ImageInput { batch: None, size: [320, 480] });
    }

    #[test]
    fn sizes_that_no_image_has_are_refused_by_the_name_of_the_input() {
        for wrong in [Some(0), Some(-1), Some(1_000_000_000), Some(1 << 62), Some(i64::MIN), None] {
            for at in [2, 3] {
                let mut sizes = [Some(1), Some(3), Some(64), Some(64)];
                sizes[at] = wrong;
                let message = ImageInput::of(&file(sizes)).unwrap_err();
                assert!(message.contains("'images'") && message.contains("height and width"), "{message}");
            }
        }
        for wrong in [Some(0), Some(-1), Some(1 << 62)] {
            let message = ImageInput::of(&file([wrong, Some(3), Some(64), Some(64)])).unwrap_err();
            assert!(message.contains("'images'") && message.contains("batch"), "{message}");
        }
        let both = ImageInput::of(&file([Some(1), Some(3), Some(16_000), Some(16_000)])).unwrap_err();
        assert!(both.contains("pixels"), "{both}");
        let gray = ImageInput::of(&file([Some(1), Some(1), Some(64), Some(64)])).unwrap_err();
        assert!(gray.contains("[1, 1, 64, 64]"), "{gray}");
        assert!(ImageInput::of(&proto::Model::default()).unwrap_err().contains("no input"));
    }
}
