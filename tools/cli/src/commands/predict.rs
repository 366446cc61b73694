//! `predict`: boxes drawn on image files and videos, or classes of image files.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use repghost_coco::decode::is_video;
use repghost_distributed::Group;
use repghost_train::config::{Experiment, Origin, Task};
use repghost_train::predict::{predict, PredictOptions};
use repghost_train::prediction_files::ListFormat;
use repghost_train::video::PredictedVideo;
use repghost_train::{chosen_thresholds, classification, video, WeightsFile};

use crate::bad_input::bad_input;
use crate::commands::counter::Counter;
use crate::commands::device::DeviceArgs;
use crate::commands::launch::{self, Joined, LaunchArgs};
use crate::commands::model_args::{ModelArgs, ModelInput};
use crate::commands::runtime::{self, Classes, RuntimeName};
use crate::exit::Outcome;
use crate::interrupt;
use crate::printable::Out;

/// Worked examples for `--help`.
pub const EXAMPLES: &str = "\
Examples:
  a folder:          repghost-det predict runs/mine photos/ --output out/
  and its folders:   repghost-det predict runs/mine photos/ --recursive --output out/
  some files:        repghost-det predict runs/mine --weights W a.jpg b.png --output out/ --score-threshold 0.5
  fast on a CPU:     repghost-det predict runs/mine --weights W photos/ --output out/ --runtime onnxruntime
  an exported file:  repghost-det predict --weights detector.onnx photos/ --output out/
  other image size:  repghost-det predict runs/mine --weights W a.jpg --output out/ data.augment.resize.size=640
  two processes:     repghost-det predict runs/mine photos/ --output out/ --nproc 2
  paths from a list: find photos -name '*.jpg' | repghost-det predict runs/mine - --output out/
  YOLO label files:  repghost-det predict runs/mine photos/ --output out/ --format yolo
  a video, a camera: repghost-det predict runs/mine drive.mp4 rtsp://camera/live --output out/
  a classifier:      repghost-det predict experiments/imagenet/repghostnet_1.0x.yaml --weights W photos/ --output out/

Without --weights, the best weights of the run folder are taken. Of a detector, OUT/detections.json is a COCO results list with file_name, OUT/classes.json names its category ids; boxes are x, y, width, height in pixels of the image,
turned upright by its EXIF orientation. Of a video or stream (through the ffmpeg on the PATH), OUT/NAME.mp4 is drawn and OUT/NAME.jsonl has a
line per frame, written as it comes; Ctrl-C ends a stream, with both files whole.
Of a classifier, OUT/predictions.json lists each file's most probable classes.";

/// Arguments of `predict`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,

    /// Runtime; by default libtorch, and onnxruntime for FILE.onnx. All but libtorch run the exported network.
    #[arg(long, value_parser = runtime::parser())]
    runtime: Option<RuntimeName>,

    /// Folder for detections.json and the pictures, or for predictions.json.
    #[arg(long, value_name = "DIR")]
    output: PathBuf,

    /// Search subfolders of folders too.
    #[arg(long)]
    recursive: bool,

    /// Leave out detections below. Without it: the thresholds that `eval --choose` wrote for the weights; without those
    /// eval.score_threshold in the file, 0.3 in the pictures.
    #[arg(long, value_name = "T")]
    score_threshold: Option<f64>,

    /// How the list of detections in images is written: detections.json (COCO results), labels/*.txt (YOLO), detections.csv.
    #[arg(long, value_name = "FORMAT", value_parser = formats())]
    format: Option<ListFormat>,

    /// Cut the objects out too: crops/CLASS/NAME_1.png.
    #[arg(long)]
    crops: bool,

    #[command(flatten)]
    device: DeviceArgs,

    #[command(flatten)]
    launch: LaunchArgs,
}

fn formats() -> impl TypedValueParser<Value = ListFormat> {
    PossibleValuesParser::new(ListFormat::ALL.map(ListFormat::name))
        .try_map(|name| ListFormat::ALL.into_iter().find(|f| f.name() == name).ok_or("no such format"))
}

/// Bytes of a list of paths at most: some million paths.
const MAX_LIST: u64 = 256 << 20;

/// The images; in place of `-` those that are listed on the standard input, a path a line.
fn with_listed(images: Vec<PathBuf>) -> anyhow::Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    for path in images {
        if path.as_os_str() != "-" {
            all.push(path);
            continue;
        }
        let before = all.len();
        let mut list = String::new();
        let read = io::stdin().take(MAX_LIST + 1).read_to_string(&mut list);
        let read = read.map_err(|e| bad_input(format!("-: the list of paths cannot be read: {e}")))?;
        if read as u64 > MAX_LIST {
            return Err(bad_input(format!("-: the list of paths is longer than {} MiB", MAX_LIST >> 20)));
        }
        all.extend(list.lines().filter(|line| !line.is_empty()).map(PathBuf::from));
        if all.len() == before {
            return Err(bad_input("-: expected paths on the standard input, one a line; there are none"));
        }
    }
    Ok(all)
}

/// Runs `predict`.
pub fn run(args: Args, quiet: bool) -> anyhow::Result<Outcome> {
    let input = args.model.clone().read(&args.device)?;
    if args.launch.nproc.is_some() && input.images.iter().any(|path| path.as_os_str() == "-") {
        return Err(bad_input("-: the standard input is one process's; --nproc shares files and folders"));
    }
    let group = match launch::join(&args.launch, input.loaded.experiment.train.distributed.timeout_s)? {
        Joined::Ended(outcome) => return Ok(outcome),
        Joined::Here(group) => group,
    };
    let quiet = quiet || group.as_ref().is_some_and(|group| !group.is_first());
    let shared = group.clone();
    launch::part(group.as_ref(), || predict_part(args, input, shared, quiet))
}

/// A process's part of the images; the first one writes the list.
fn predict_part(args: Args, input: ModelInput, group: Option<Group>, quiet: bool) -> anyhow::Result<Outcome> {
    let ModelInput { loaded, weights, images } = input;
    let images = with_listed(images)?;
    if images.is_empty() {
        return Err(bad_input("no image is named: expected files or folders behind the experiment"));
    }
    let (thresholds, note) = chosen_thresholds::read(&weights)?;
    if let Some(note) = note.filter(|_| group.as_ref().is_none_or(Group::is_first)) {
        tracing::warn!("{note}");
    }
    // Photos are shown upright, whatever the training data was; who asks for the stored pixels gets them.
    let as_stored = loaded.origin("data.apply_exif") == Origin::CommandLine && !loaded.experiment.data.apply_exif;
    let (videos, images): (Vec<_>, Vec<_>) = images.into_iter().partition(|path| is_video(path) && !path.is_dir());
    if let Some(video) = videos.first().filter(|_| group.is_some()) {
        return Err(bad_input(format!("{}: the frames of a video come one after another, to one process", video.display())));
    }
    let options = PredictOptions {
        images,
        recursive: args.recursive,
        as_stored,
        output: args.output,
        score_threshold: args.score_threshold,
        thresholds,
        format: args.format.unwrap_or_default(),
        crops: args.crops,
        group,
    };
    if loaded.experiment.task == Task::Classification {
        if args.score_threshold.is_some() {
            return Err(bad_input("--score-threshold applies to detectors; a classifier always predicts one class per image"));
        }
        if args.format.is_some() || args.crops {
            return Err(bad_input("--format and --crops are for detectors; a classifier's list is predictions.json"));
        }
        if args.runtime.is_some() {
            return Err(bad_input("--runtime is for detectors; a classifier runs on libtorch here"));
        }
        if let Some(video) = videos.first() {
            return Err(bad_input(format!("{}: videos are for detectors; cut it into images", video.display())));
        }
        return classify(&loaded.experiment, &weights, &options, quiet);
    }
    if let Some(t) = options.thresholds.as_ref().filter(|_| args.score_threshold.is_none() && !quiet) {
        tracing::info!("thresholds that were chosen for {} are applied; --score-threshold overrides them", t.goal);
    }
    let e = options.applied(&loaded.experiment)?;
    let pool = runtime::open(&e, &weights, runtime::choose(args.runtime, &weights)?, Classes::OfWeights)?;
    let stop = interrupt::flag("stopping");
    let mut outcome = Outcome::Done;
    if !options.images.is_empty() {
        let mut shown = Counter::new("predicting", quiet);
        let predicted = predict(&e, pool.as_ref(), &options, &stop, &mut |done, total| shown.update(done, total))?;
        shown.clear();
        let Some(predicted) = predicted else { return Ok(Outcome::Interrupted) };
        if options.group.as_ref().is_some_and(|group| !group.is_first()) {
            return Ok(Outcome::Done);
        }
        println!("{} detections in {} images: {}", predicted.detections, predicted.images, predicted.list.display());
        outcome = notices(predicted.passed_over, predicted.turned, &predicted.unreadable);
    }
    for (path, stem) in videos.iter().zip(video::stems(&videos)) {
        let mut shown = Counter::without_end("predicting", "frames", quiet);
        let predicted = video::predict_video(&e, pool.as_ref(), &options, (path, &stem), &stop, &mut |done| shown.count(done));
        shown.clear();
        let Some(predicted) = predicted? else { return Ok(Outcome::Interrupted) };
        let PredictedVideo { frames, detections, list, drawn, problem } = predicted;
        writeln!(Out, "{detections} detections in {frames} frames: {}, {}", list.display(), drawn.display())?;
        if let Some(problem) = problem {
            tracing::warn!("{}: {problem}; {frames} frames were predicted", path.display());
            outcome = Outcome::Failed;
        }
        if stop.load(Ordering::Relaxed) {
            return Ok(Outcome::Interrupted);
        }
    }
    Ok(outcome)
}

/// Prints what was left out. Images that could not be read are a failure.
fn notices(passed_over: Option<String>, turned: usize, unreadable: &[String]) -> Outcome {
    if turned > 0 {
        tracing::info!(
            "{turned} images were turned upright by their EXIF orientation (data.apply_exif=false takes them as stored)"
        );
    }
    if let Some(text) = passed_over {
        tracing::info!("{text}");
    }
    for message in unreadable {
        tracing::warn!("{message}");
    }
    if unreadable.is_empty() {
        Outcome::Done
    } else {
        Outcome::Failed
    }
}

/// Predicts classes.
fn classify(e: &Experiment, weights: &Path, options: &PredictOptions, quiet: bool) -> anyhow::Result<Outcome> {
    let weights = WeightsFile::read(weights)?;
    let stop = interrupt::flag("stopping");
    let mut shown = Counter::new("predicting", quiet);
    let predicted = classification::predict::predict(e, weights, options, &stop, &mut |done, total| shown.update(done, total))?;
    shown.clear();
    let Some(predicted) = predicted else { return Ok(Outcome::Interrupted) };
    if options.group.as_ref().is_some_and(|group| !group.is_first()) {
        return Ok(Outcome::Done);
    }
    const SHOWN: usize = 20;
    let mut out = Out;
    for p in predicted.predictions.iter().take(SHOWN) {
        writeln!(out, "{}  {}  {:.4}", p.file_name, p.class, p.probability)?;
    }
    writeln!(out, "{} images: {}", predicted.predictions.len(), options.output.join("predictions.json").display())?;
    Ok(notices(predicted.passed_over, predicted.turned, &predicted.unreadable))
}
