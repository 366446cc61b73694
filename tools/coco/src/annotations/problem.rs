//! Everything that can be wrong with a record, and how bad it is.

use std::fmt;

use serde::Serialize;

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Odd but read: the message explains how.
    Note,
    /// Read, though probably not what the author meant.
    Warning,
    /// Training refuses the record, or drops it with `on_bad_annotation: drop`.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Severity::Note => "note",
            Severity::Warning => "warning",
            Severity::Error => "error",
        })
    }
}

/// A problem together with the records it belongs to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// A stable name, as in `bbox-negative-size`.
    pub code: &'static str,
    /// The image's id, where known.
    pub image_id: Option<i64>,
    /// The annotation's id, where it is about one.
    pub annotation_id: Option<i64>,
    /// The image's file name, where it is about the file.
    pub file_name: Option<String>,
    /// File and line, where the set has a file per image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// One sentence.
    pub message: String,
}

impl Finding {
    pub(crate) fn new(problem: &Problem, image_id: Option<i64>, annotation_id: Option<i64>) -> Self {
        Finding {
            severity: problem.severity(),
            code: problem.code(),
            image_id,
            annotation_id,
            file_name: None,
            place: None,
            message: problem.to_string(),
        }
    }

    /// The same finding with the file and line it is about.
    pub(crate) fn at(mut self, place: impl Into<String>) -> Self {
        self.place = Some(place.into());
        self
    }

    pub(crate) fn of_file(mut self, file_name: &str) -> Self {
        self.file_name = Some(file_name.to_owned());
        self
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        if let Some(place) = &self.place {
            return write!(f, "{place}: {}", self.message);
        }
        if let Some(id) = self.annotation_id {
            write!(f, "annotation {id}, ")?;
        }
        if let Some(id) = self.image_id {
            write!(f, "image {id}")?;
            if let Some(name) = &self.file_name {
                write!(f, " ({name})")?;
            }
            f.write_str(": ")?;
        }
        f.write_str(&self.message)
    }
}

/// What is wrong with one record.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[allow(missing_docs)] // the messages are the documentation
pub enum Problem {
    #[error("{0}")]
    NoCocoFile(String),
    #[error("{0}")]
    Untranslatable(String),
    #[error("the file has no `{0}` list")]
    NoList(&'static str),
    #[error("the file lists no images")]
    NoImages,
    #[error("the file lists no categories")]
    NoCategories,
    #[error("no image has an annotation: there is nothing to train on")]
    NoAnnotations,
    #[error("{field} is {found}, an integer is expected{}", if found.starts_with('"') { " (text ids: write numbers, without quotes)" } else { "" })]
    BadId { field: &'static str, found: String },
    #[error("{field} is the float {found}; it is read as an integer")]
    FloatId { field: &'static str, found: String },
    #[error("the annotation has no id; its place in the file serves")]
    NoAnnotationId,
    #[error(
        "annotation id 0: pycocotools takes it for \"no match\" and counts the object as missed; here it counts like any other"
    )]
    AnnotationIdZero,
    #[error("image id {0} is used by more than one image")]
    DuplicateImageId(i64),
    #[error("annotation id {0} is used by more than one annotation")]
    DuplicateAnnotationId(i64),
    #[error("category id {id} is used twice, by {first:?} and {second:?}")]
    DuplicateCategoryId { id: i64, first: String, second: String },
    #[error("category name {name:?} is used twice, by ids {first} and {second}")]
    DuplicateCategoryName { name: String, first: i64, second: i64 },
    #[error("category {0} has no name; `category {0}` serves")]
    NoCategoryName(i64),
    #[error(
        "category {id} ({name:?}) has no object and is the group of another, or has its name: it is no class and is left out"
    )]
    CategoryLeftOut { id: String, name: String },
    #[error("annotations use category ids {first} to {last}, each one lower than the file's: add 1 to every category_id")]
    IdsOneLower { first: i64, last: i64 },
    #[error("{beyond} of {total} boxes reach beyond their images as x, y, width, height, and none does as x1, y1, x2, y2: they are probably corners")]
    LooksLikeCorners { beyond: usize, total: usize },
    #[error("{images} images have more than 100 objects of one class (image {image} has {most}): AP counts the best 100 detections of a class in an image")]
    Dense { images: usize, most: usize, image: i64 },
    #[error("category id 0 ({0:?}) is allowed; torchvision's heads keep 0 for the background, ours number classes themselves")]
    CategoryZero(String),
    #[error("file name {0:?} is used by more than one image")]
    DuplicateFileName(String),
    #[error("file_name is {0}, a text is expected")]
    BadFileName(String),
    #[error("height and width are {height} and {width}, positive integers are expected")]
    BadImageSize { height: String, width: String },
    #[error("image_id {0} is not among the images")]
    UnknownImage(i64),
    #[error("category_id {0} is not among the categories")]
    UnknownCategory(i64),
    #[error("bbox is missing; the box of the segmentation serves")]
    BoxFromMask,
    #[error("bbox is missing, and so is a segmentation to compute it from")]
    NoBox,
    #[error("bbox has {0} numbers, four are expected (x, y, width, height)")]
    BoxLength(usize),
    #[error("bbox is no list of four numbers")]
    BoxType,
    #[error("bbox {0:?} has a value that is no finite number")]
    BoxNotFinite([f64; 4]),
    #[error("bbox {0:?} has a negative width or height (is it x1, y1, x2, y2?)")]
    BoxNegative([f64; 4]),
    #[error("bbox {0:?} has no area; training skips it, evaluation keeps it")]
    BoxEmpty([f64; 4]),
    #[error("bbox {bbox:?} lies wholly outside the {width} x {height} image; training skips it")]
    BoxOutside { bbox: [f64; 4], width: u32, height: u32 },
    #[error("bbox {bbox:?} reaches beyond the {width} x {height} image; training clips it")]
    BoxCrosses { bbox: [f64; 4], width: u32, height: u32 },
    #[error("area is missing; it is computed")]
    NoArea,
    #[error("area is {0}, a number not below zero is expected; it is computed")]
    BadArea(String),
    #[error("iscrowd is {0}, 0 or 1 is expected")]
    BadCrowd(String),
    #[error("iscrowd is the flag {0}; it is read as 0 or 1")]
    BoolCrowd(bool),
    #[error("segmentation is {what}; polygons or an object with size and counts are expected")]
    SegmentationType { what: String },
    #[error("segmentation is one flat list of numbers; a list of polygons is expected ([[x, y, …]])")]
    PolygonNotNested,
    #[error("{bad} of {total} polygons cannot be filled (the first has {numbers} numbers; finite pairs, at least 6 numbers, are expected)")]
    PolygonNumbers { numbers: usize, bad: usize, total: usize },
    #[error("the mask of the segmentation is empty")]
    MaskEmpty,
    #[error("the run-length mask is broken: {reason}")]
    RleBroken { reason: String },
    #[error("the run-length mask is for {} x {}, the image is {} x {} (height x width)", found[0], found[1], expected[0], expected[1])]
    RleSize { found: [u32; 2], expected: [u32; 2] },
    #[error("file name {0:?} leaves the image folder")]
    PathLeaves(String),
    #[error("the file is missing{0}")]
    FileMissing(String),
    #[error("the file cannot be decoded: {0}")]
    Unreadable(String),
    #[error("the annotations give {} x {}, the file is {} x {} (width x height)", json[1], json[0], file[1], file[0])]
    SizeMismatch { json: [u32; 2], file: [u32; 2] },
    #[error("the annotations give {} x {}, which is the file turned by its EXIF orientation: set data.apply_exif=true", json[1], json[0])]
    SizeTurned { json: [u32; 2] },
    #[error("the annotations give {} x {}, which is the file as stored, not turned by its EXIF orientation: set data.apply_exif=false", json[1], json[0])]
    SizeStored { json: [u32; 2] },
    #[error("EXIF orientation {0}: boxes have to be for the stored pixels, as in COCO; data.apply_exif=true turns the image")]
    Orientation(u8),
    #[error("16 bits per sample, of which the upper 8 are kept; the largest is {0} of 65535, so the image is nearly black: rescale it to 8 bits")]
    Dark(u16),
}

impl Problem {
    /// A stable name.
    pub fn code(&self) -> &'static str {
        use Problem::*;
        match self {
            NoCocoFile(_) => "not-coco",
            Untranslatable(_) => "not-read",
            NoList(_) => "no-list",
            NoImages => "no-images",
            NoCategories => "no-categories",
            NoAnnotations => "no-annotations",
            BadId { .. } => "bad-id",
            FloatId { .. } => "float-id",
            NoAnnotationId => "no-annotation-id",
            AnnotationIdZero => "annotation-id-zero",
            DuplicateImageId(_) => "duplicate-image-id",
            DuplicateAnnotationId(_) => "duplicate-annotation-id",
            DuplicateCategoryId { .. } => "duplicate-category-id",
            DuplicateCategoryName { .. } => "duplicate-category-name",
            NoCategoryName(_) => "no-category-name",
            CategoryZero(_) => "category-id-zero",
            CategoryLeftOut { .. } => "category-left-out",
            IdsOneLower { .. } => "category-ids-one-lower",
            LooksLikeCorners { .. } => "bbox-corners",
            Dense { .. } => "dense-image",
            DuplicateFileName(_) => "duplicate-file-name",
            BadFileName(_) => "bad-file-name",
            BadImageSize { .. } => "bad-image-size",
            UnknownImage(_) => "unknown-image-id",
            UnknownCategory(_) => "unknown-category-id",
            BoxFromMask => "bbox-from-mask",
            NoBox => "bbox-missing",
            BoxLength(_) => "bbox-length",
            BoxType => "bbox-type",
            BoxNotFinite(_) => "bbox-not-finite",
            BoxNegative(_) => "bbox-negative-size",
            BoxEmpty(_) => "bbox-zero-size",
            BoxOutside { .. } => "bbox-outside",
            BoxCrosses { .. } => "bbox-crosses-border",
            NoArea => "area-missing",
            BadArea(_) => "bad-area",
            BadCrowd(_) => "bad-iscrowd",
            BoolCrowd(_) => "iscrowd-bool",
            SegmentationType { .. } => "segmentation-type",
            PolygonNotNested => "polygon-not-nested",
            PolygonNumbers { .. } => "polygon-numbers",
            MaskEmpty => "mask-empty",
            RleBroken { .. } => "rle-broken",
            RleSize { .. } => "rle-size",
            PathLeaves(_) => "path-leaves-folder",
            FileMissing(_) => "file-missing",
            Unreadable(_) => "image-unreadable",
            SizeMismatch { .. } => "size-mismatch",
            SizeTurned { .. } => "size-turned-by-exif",
            SizeStored { .. } => "size-not-turned",
            Orientation(_) => "exif-orientation",
            Dark(_) => "sixteen-bit-dark",
        }
    }

    /// How bad it is.
    pub fn severity(&self) -> Severity {
        use Problem::*;
        match self {
            // COCO's own files hold boxes a little beyond the border and crowds of odd area; those are read as they stand.
            AnnotationIdZero | BoxCrosses { .. } | NoArea | BoolCrowd(_) | CategoryZero(_) | BoxFromMask => Severity::Note,
            CategoryLeftOut { .. } => Severity::Note,
            LooksLikeCorners { .. } | Dense { .. } | Orientation(_) | Dark(_) => Severity::Warning,
            FloatId { .. } | NoAnnotationId | DuplicateAnnotationId(_) | DuplicateCategoryName { .. } | NoCategoryName(_) => {
                Severity::Warning
            }
            DuplicateFileName(_) | BoxEmpty(_) | BoxOutside { .. } | BadArea(_) | MaskEmpty | NoAnnotations => Severity::Warning,
            NoList("annotations") => Severity::Warning,
            // Some polygons of an object may be splinters; the object is lost only where none can be filled.
            PolygonNumbers { bad, total, .. } if bad < total => Severity::Warning,
            _ => Severity::Error,
        }
    }
}
