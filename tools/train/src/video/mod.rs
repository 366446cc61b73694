//! Predicting on videos and streams: frames in, a drawn video and one JSON line per frame out.
//!
//! Reading and writing is `ffmpeg`'s, found on the PATH and run as two processes, so that decoding, inference and encoding overlap.

mod ffmpeg;
mod lines;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use repghost_coco::decode::{is_address, VIDEO_ENDINGS};
use repghost_coco::{Sample, SampleTarget};

use crate::chosen_thresholds::Cutoffs;
use crate::config::Experiment;
use crate::engine::{EnginePool, ThreadEngines};
use crate::error::TrainError;
use crate::inference::detect_one;
use crate::predict::{unique_stems, PredictOptions, PredictionWriter};
use crate::prediction_files::file_name;

use ffmpeg::{Film, Frames, Next};
use lines::Lines;

/// What came of a video.
#[derive(Clone, Debug)]
pub struct PredictedVideo {
    /// Frames that were predicted on.
    pub frames: usize,
    /// Detections in the list.
    pub detections: usize,
    /// The list: `STEM.jsonl`.
    pub list: PathBuf,
    /// The video with its detections drawn: `STEM.mp4`.
    pub drawn: PathBuf,
    /// One line where the video ended early or is damaged.
    pub problem: Option<String>,
}

/// A name for each video's files, without an ending; unique.
pub fn stems(videos: &[PathBuf]) -> Vec<String> {
    let named = |path: &PathBuf| match is_address(path) {
        false => path.clone(),
        true => {
            let text = path.to_string_lossy();
            let address = text.split(['?', '#']).next().unwrap_or_default().trim_end_matches('/');
            let last = address.rsplit('/').next().unwrap_or_default();
            let stem = last.rsplit_once('.').filter(|(_, e)| VIDEO_ENDINGS.contains(e)).map_or(last, |(stem, _)| stem);
            PathBuf::from(file_name(&stem.replace('.', "_")))
        }
    };
    unique_stems(&videos.iter().map(named).collect::<Vec<_>>())
}

/// Predicts on each frame of a video file or stream and writes `STEM.jsonl`, line by line, and `STEM.mp4`. Where `stop` is raised the video
/// ends there: both files hold what was read until then. `progress` is called with the number of frames.
///
/// `None` where it was raised before the first frame came: nothing is written then.
///
/// # Errors
/// No ffmpeg on the PATH; a file that it cannot read; a disk that is full.
pub fn predict_video(
    e: &Experiment,
    pool: &dyn EnginePool,
    options: &PredictOptions,
    video: (&Path, &str),
    stop: &AtomicBool,
    progress: &mut dyn FnMut(usize),
) -> Result<Option<PredictedVideo>, TrainError> {
    let (path, stem) = video;
    let Some(mut frames) = Frames::open(path, is_address(path), stop)? else { return Ok(None) };
    let classes = pool.classes();
    let writer = PredictionWriter::new(options, &[], classes)?;
    let cutoffs = options.chosen().map(|t| Cutoffs::new(t, classes)).unwrap_or_default();
    let cores = e.train.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let mut engines = ThreadEngines::new(pool, cores);
    let mut lines = Lines::create(&options.output.join(format!("{stem}.jsonl")), frames.rate(), classes)?;
    let mut film = Film::create(&options.output.join(format!("{stem}.mp4")), frames.size(), frames.rate())?;
    let mut predicted =
        PredictedVideo { frames: 0, detections: 0, list: lines.path().into(), drawn: film.path().into(), problem: None };
    while !stop.load(Ordering::Relaxed) {
        let mut image = match frames.next() {
            Next::Frame(image) => image,
            Next::Pending => continue,
            Next::End => break,
        };
        let target = SampleTarget {
            image_id: predicted.frames as i64 + 1,
            original_size: [image.height() as usize, image.width() as usize],
            ..SampleTarget::default()
        };
        let mut found = detect_one(pool, &mut engines, Sample { image: image.clone(), target, ..Sample::default() })?;
        found.objects.retain(|d| d.score > e.eval.score_threshold && cutoffs.keep(d));
        writer.cut_out(&format!("{stem}_{:06}", predicted.frames), &image, &found)?;
        writer.draw_on(&mut image, &found);
        film.write(&image)?;
        lines.write(predicted.frames, &found.objects)?;
        predicted.frames += 1;
        predicted.detections += found.objects.len();
        progress(predicted.frames);
    }
    predicted.problem = frames.close(stop.load(Ordering::Relaxed));
    film.finish()?;
    writer.classes_file()?;
    Ok(Some(predicted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_videos_have_names_of_their_own() {
        let videos = ["a/x.mp4", "b/x.mov", "rtsp://camera:554/live?user=a", "rtsp://10.0.0.1:8554/", "y.mkv"].map(PathBuf::from);
        assert_eq!(stems(&videos), ["x_1", "x_2", "live", "10_0_0_1_8554", "y"].map(String::from));
    }
}
