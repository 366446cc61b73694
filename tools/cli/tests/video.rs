//! `predict` on videos and streams through ffmpeg; the videos are made of built-in shapes.

mod common;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::detector::{folder, MASK_RCNN, RETINANET};
use common::{repghost, run, Folder, Ran};
use repghost_coco::shapes::ShapesConfig;
use repghost_coco::{ShapesSource, Source};
use serde_json::Value;

const FRAMES: usize = 8;

fn absent() -> bool {
    let found = Command::new("ffmpeg").arg("-version").stdout(Stdio::null()).status().is_ok_and(|s| s.success());
    repghost_testing::need("ffmpeg", found.then_some(()), "apt install ffmpeg").is_none()
}

/// ffmpeg in a folder.
fn ffmpeg(folder: &Folder, args: &str) {
    let args = args.split_whitespace();
    let out =
        Command::new("ffmpeg").current_dir(folder.path()).args(["-v", "error", "-nostdin", "-y"]).args(args).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
}

/// A detector, and frames `frames/1.png` … of an odd width, as `clip.mkv` without loss, ten a second.
fn clip(head: &str) -> (Folder, String) {
    let (folder, threshold) = folder(head);
    std::fs::create_dir(folder.path().join("frames")).unwrap();
    let config = ShapesConfig { size: [80, 97], ..Default::default() };
    let source = ShapesSource { seed: 3, first: 0, count: FRAMES, config, masks: false };
    for i in 0..FRAMES {
        source.load(i).unwrap().image.save(folder.path().join(format!("frames/{}.png", i + 1))).unwrap();
    }
    ffmpeg(&folder, "-framerate 10 -i frames/%d.png -c:v ffv1 -pix_fmt bgr0 clip.mkv");
    (folder, threshold)
}

fn predict(folder: &Folder, threshold: &str, inputs: &[&str], more: &[&str]) -> Ran {
    let base = ["predict", "a.yaml", threshold, "--weights", "w.safetensors", "--output", "out"];
    folder.run(&[&base[..], inputs, more].concat())
}

fn lines(path: &Path) -> Vec<Value> {
    std::fs::read_to_string(path).unwrap().lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}

/// Frames, width and height of a video.
fn shape(folder: &Folder, video: &str) -> (usize, String) {
    let args = ["-v", "error", "-nostdin", "-i", video, "-f", "framecrc", "-"];
    let out = Command::new("ffmpeg").current_dir(folder.path()).args(args).output().unwrap();
    let text = String::from_utf8(out.stdout).unwrap();
    let size = text.lines().find_map(|l| l.strip_prefix("#dimensions 0: ")).unwrap_or_default().to_owned();
    (text.lines().filter(|l| !l.starts_with('#')).count(), size)
}

/// A frame is an image: what is found in it is what is found in the picture that it was made of.
#[test]
fn frames_are_predicted_as_their_pictures_are() {
    if absent() {
        return;
    }
    for head in [RETINANET, MASK_RCNN] {
        let (folder, threshold) = clip(head);
        let out = predict(&folder, &threshold, &["clip.mkv"], &["--crops"]);
        assert_eq!(out.code, 0, "{}{}", out.stdout, out.stderr);
        assert!(out.stdout.contains("in 8 frames: out/clip.jsonl, out/clip.mp4"), "{}", out.stdout);
        let frames = lines(&folder.path().join("out/clip.jsonl"));
        assert_eq!(frames.len(), FRAMES);
        assert_eq!((frames[3]["frame"].as_u64(), frames[3]["time"].as_f64()), (Some(3), Some(0.3)));
        let images: Vec<String> = (1..=FRAMES).map(|i| format!("frames/{i}.png")).collect();
        let images: Vec<&str> = images.iter().map(String::as_str).collect();
        assert_eq!(predict(&folder, &threshold, &images, &[]).code, 0);
        let list = std::fs::read(folder.path().join("out/detections.json")).unwrap();
        let list: Vec<Value> = serde_json::from_slice(&list).unwrap();
        assert!(list.len() > 20, "only {} detections", list.len());
        let mut masks = 0;
        for (i, frame) in frames.iter().enumerate() {
            let of_image: Vec<&Value> = list.iter().filter(|d| d["image_id"] == i + 1).collect();
            let objects: Vec<&Value> = frame["objects"].as_array().unwrap().iter().collect();
            let apart = |a: &&Value, b: &&Value| {
                let off = |v: &dyn Fn(&Value) -> f64| (v(a) - v(b)).abs();
                let class = if a["category_id"] == b["category_id"] { 0.0 } else { f64::INFINITY };
                let corners = (0..4).map(|n| off(&|v| v["bbox"][n].as_f64().unwrap())).fold(0.0, f64::max);
                class + corners / 1e-3 + off(&|v| v["score"].as_f64().unwrap()) / 1e-5
            };
            let (_, worst) = repghost_testing::pair(&objects, &of_image, apart);
            assert!(worst < 1.0, "frame {i}: {worst} times the tolerance, {} and {} objects", objects.len(), of_image.len());
            masks += objects.iter().filter(|o| o["segmentation"]["counts"].is_string()).count();
        }
        assert_eq!(masks > 0, head == MASK_RCNN);
        // Sides become even for players.
        assert_eq!(shape(&folder, "out/clip.mp4"), (FRAMES, "98x80".into()));
        let crops = std::fs::read_dir(folder.path().join("out/crops")).unwrap().count();
        assert!(crops > 0, "classes with objects that were cut out");
    }
}

/// What is whole is predicted, what is not is one line; what cannot be read leaves nothing.
#[test]
fn a_truncated_video_is_one_line() {
    if absent() {
        return;
    }
    let (folder, threshold) = clip(RETINANET);
    ffmpeg(&folder, "-i clip.mkv -c:v rawvideo -pix_fmt bgr24 clip.avi");
    let cut = |from: &str, to: &str, share: f64| {
        let bytes = std::fs::read(folder.path().join(from)).unwrap();
        std::fs::write(folder.path().join(to), &bytes[..(bytes.len() as f64 * share) as usize]).unwrap();
    };
    cut("clip.avi", "half.avi", 0.55);
    cut("clip.mkv", "half.mkv", 0.55);
    for name in ["half.avi", "half.mkv"] {
        let out = predict(&folder, &threshold, &[name], &[]);
        assert_eq!(out.code, 1, "{}", out.stderr);
        assert_eq!(out.stderr.trim().lines().count(), 1, "{}", out.stderr);
        assert!(out.stderr.contains(&format!("{name}: the video is damaged or ends early (ffmpeg: ")), "{}", out.stderr);
        let whole = lines(&folder.path().join("out/half.jsonl")).len();
        assert!((3..FRAMES).contains(&whole) && out.stderr.contains(&format!("{whole} frames were predicted")), "{whole}");
        assert_eq!(shape(&folder, "out/half.mp4").0, whole);
        std::fs::remove_dir_all(folder.path().join("out")).unwrap();
    }
    folder.write("text.mp4", "hello");
    folder.write("empty.mkv", "");
    for name in ["text.mp4", "empty.mkv", "none.mov", "tcp://127.0.0.1:1"] {
        let out = predict(&folder, &threshold, &[name], &[]);
        assert!(out.code == 2 && out.stderr.starts_with(&format!("error: {name}: ")), "{name}: {}", out.stderr);
        assert_eq!(out.stderr.trim().lines().count(), 1, "{}", out.stderr);
        assert!(!folder.path().join("out").exists(), "{name}");
    }
}

/// A stream without an end, which Ctrl-C ends: both files are whole.
#[cfg(unix)]
#[test]
fn a_stream_ends_when_it_is_told_to() {
    if absent() {
        return;
    }
    let (folder, threshold) = clip(RETINANET);
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = format!("tcp://127.0.0.1:{port}?listen=1");
    let args = ["predict", "a.yaml", &threshold, "--weights", "w.safetensors", "--output", "out", &address];
    let mut command = repghost();
    command.current_dir(folder.path()).args(args).stdout(Stdio::piped()).stderr(Stdio::piped());
    let predicting = command.spawn().unwrap();
    let mut camera = Command::new("ffmpeg");
    camera.args("-v quiet -nostdin -re -f lavfi -i testsrc=size=64x48:rate=20 -t 120 -c:v mpeg2video -f mpegts".split(' '));
    camera.arg(format!("tcp://127.0.0.1:{port}"));
    let started = Instant::now();
    // It takes a moment until somebody listens.
    let list = folder.path().join(format!("out/127_0_0_1_{port}.jsonl"));
    let mut sending = camera.spawn().unwrap();
    let seen = || std::fs::read_to_string(&list).is_ok_and(|text| text.lines().count() >= 5);
    while !seen() {
        assert!(started.elapsed() < Duration::from_secs(90), "no frame came");
        if sending.try_wait().unwrap().is_some() {
            sending = camera.spawn().unwrap();
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    let interrupt = Command::new("kill").args(["-INT", &predicting.id().to_string()]).status().unwrap();
    assert!(interrupt.success());
    let out = Ran::from(predicting.wait_with_output().unwrap());
    let _ = sending.kill();
    let _ = sending.wait();
    assert_eq!(out.code, 130, "{}{}", out.stdout, out.stderr);
    let frames = lines(&list).len();
    assert!(out.stdout.contains(&format!("in {frames} frames: ")), "{}", out.stdout);
    let name = format!("out/127_0_0_1_{port}.mp4");
    assert_eq!(shape(&folder, &name), (frames, "64x48".into()));
}

#[test]
fn without_ffmpeg_the_way_out_is_named() {
    let (folder, threshold) = folder(RETINANET);
    folder.write("a.mp4", "anything");
    let args = ["predict", "a.yaml", &threshold, "--weights", "w.safetensors", "--output", "out", "a.mp4"];
    let out: Ran = repghost().current_dir(folder.path()).args(args).env("PATH", folder.path()).output().unwrap().into();
    assert_eq!(out.code, 2, "{}", out.stderr);
    assert!(out.stderr.contains("a.mp4: videos need ffmpeg, which is not on the PATH; install it"), "{}", out.stderr);
    assert!(!folder.path().join("out").exists());
    // In a folder they are passed over and counted.
    std::fs::create_dir(folder.path().join("both")).unwrap();
    for name in ["a.png", "a.mp4"] {
        std::fs::copy(folder.path().join(name), folder.path().join("both").join(name)).unwrap();
    }
    let out = predict(&folder, &threshold, &["both"], &[]);
    assert!(out.code == 0 && out.stderr.contains("passed over: 1 video (name it to predict on it)"), "{}", out.stderr);
    let classifier = run(&["predict", "imagenet/repghostnet_1.0x", "--weights", "w", "a.mp4", "--output", "out"]);
    assert!(classifier.code == 2 && classifier.stderr.contains("a.mp4: videos are for detectors"), "{}", classifier.stderr);
}
