//! Two processes of ffmpeg: one that decodes to frames, one that encodes frames.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{channel, sync_channel, Receiver, RecvTimeoutError, SyncSender};
use std::thread::JoinHandle;
use std::time::Duration;

use repghost_coco::decode::MAX_PIXELS;
use repghost_coco::RgbImage;

use crate::error::TrainError;

/// Frames that are decoded ahead.
const AHEAD: usize = 4;
/// How long [`Frames::next`] waits, so that its caller can look whether it is to stop.
const PATIENCE: Duration = Duration::from_millis(200);
/// Frames per second at most. Containers without a constant rate name their clock's (1000, 90000).
const MAX_RATE: &str = "120";

fn problem(input: &Path, problem: impl Into<String>) -> TrainError {
    TrainError::Video { input: input.into(), problem: problem.into() }
}

/// ffmpeg with arguments that all calls share. It gets a process group of its own: Ctrl-C is this program's, which then ends it in order.
fn ffmpeg() -> Command {
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-hide_banner", "-v", "error"]);
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    command
}

fn not_started(input: &Path, e: &std::io::Error) -> TrainError {
    match e.kind() {
        ErrorKind::NotFound => {
            problem(input, "videos need ffmpeg, which is not on the PATH; install it, or cut the video into images")
        }
        _ => problem(input, format!("ffmpeg cannot be started: {e}")),
    }
}

/// `file:PATH` for files, so that no name is taken for an option or a protocol.
fn source(path: &Path, is_address: bool) -> std::ffi::OsString {
    let mut source = std::ffi::OsString::from(if is_address { "" } else { "file:" });
    source.push(path);
    source
}

/// ffmpeg's message without the address of its part: `[mov,mp4 @ 0x55d0] moov atom not found`.
fn message(line: &str) -> String {
    let line = line.trim();
    match line.strip_prefix('[').and_then(|rest| rest.split_once("] ")) {
        Some((part, text)) if part.contains(" @ 0x") => text.to_owned(),
        _ => line.to_owned(),
    }
}

/// Reads what a process prints on its error stream to the end, so that it never waits; gives the first message. Each line goes through
/// `take` before, which keeps those that are no messages.
fn first_message(stderr: impl Read + Send + 'static, mut take: impl FnMut(&str) -> bool + Send + 'static) -> Messages {
    const MAX: u64 = 64 << 10;
    std::thread::spawn(move || {
        let mut reader = BufReader::new(stderr);
        let mut first = None;
        loop {
            let mut line = Vec::new();
            if !matches!((&mut reader).take(MAX).read_until(b'\n', &mut line), Ok(1..)) {
                return first;
            }
            let line = String::from_utf8_lossy(&line);
            if first.is_none() && !take(line.trim()) {
                first = Some(message(&line)).filter(|line| !line.is_empty());
            }
        }
    })
}

type Messages = JoinHandle<Option<String>>;

/// Width, height and frames per second (a fraction) of a stream's pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Header {
    size: [u32; 2],
    rate: [u32; 2],
}

/// Reads a [`Header`] out of the lines of ffmpeg's `framecrc` format: `#tb 0: 1/25`, `#dimensions 0: 640x480`. (ffprobe is not always beside
/// ffmpeg, and a stream may be there to be opened once.)
#[derive(Default)]
struct HeaderLines {
    rate: Option<[u32; 2]>,
    size: Option<[u32; 2]>,
}

impl HeaderLines {
    /// Takes a line; false where it is none of the format's.
    fn take(&mut self, line: &str) -> bool {
        let pair = |text: &str, by: char| {
            let (a, b) = text.split_once(by)?;
            Some([a.trim().parse::<u32>().ok()?, b.trim().parse::<u32>().ok()?])
        };
        if let Some(time_base) = line.strip_prefix("#tb 0:") {
            self.rate = pair(time_base, '/').map(|[down, up]| [up, down]);
        } else if let Some(size) = line.strip_prefix("#dimensions 0:") {
            self.size = pair(size, 'x');
        }
        line.starts_with('#') || (line.starts_with("0, ") && line.contains(", 0x"))
    }

    /// The header, once it is whole.
    fn header(&self) -> Option<Header> {
        let positive = |pair: &[u32; 2]| pair[0] > 0 && pair[1] > 0;
        let size = self.size.filter(positive)?;
        Some(Header { size, rate: self.rate?.map(|v| v.max(1)) })
    }
}

/// What [`Frames::next`] gives.
pub enum Next {
    /// A frame.
    Frame(RgbImage),
    /// None yet.
    Pending,
    /// The video's end.
    End,
}

/// The frames of a video, at a constant rate and size.
pub struct Frames {
    header: Header,
    child: Child,
    frames: Receiver<Vec<u8>>,
    /// Bytes of a frame that was not whole.
    rest: Option<JoinHandle<usize>>,
    message: Option<Messages>,
}

impl Frames {
    /// Starts to decode. `None` where `stop` was raised before the first frame came.
    ///
    /// # Errors
    /// No ffmpeg; its message about the file; frames that are too large.
    pub fn open(path: &Path, is_address: bool, stop: &AtomicBool) -> Result<Option<Self>, TrainError> {
        if !is_address {
            std::fs::metadata(path).map_err(TrainError::io(path))?;
        }
        // The first frame's checksum for the header, and all frames. Both outputs have the same rate and size.
        let mut child = ffmpeg()
            .arg("-i")
            .arg(source(path, is_address))
            .args(["-map", "0:v:0", "-fpsmax", MAX_RATE, "-frames:v", "1", "-f", "framecrc", "pipe:2"])
            .args(["-map", "0:v:0", "-fpsmax", MAX_RATE, "-pix_fmt", "rgb24", "-f", "rawvideo", "pipe:1"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| not_started(path, &e))?;
        let (known, headers) = channel();
        let mut lines = HeaderLines::default();
        let take = move |line: &str| {
            let taken = lines.take(line);
            if let Some(header) = lines.header() {
                let _ = known.send(header);
            }
            taken
        };
        let message = child.stderr.take().map(|stderr| first_message(stderr, take));
        let stdout = child.stdout.take();
        let mut opening =
            Self { header: Header { size: [0; 2], rate: [1; 2] }, child, frames: sync_channel(0).1, rest: None, message };
        opening.header = loop {
            match headers.recv_timeout(PATIENCE) {
                Ok(header) => break header,
                Err(RecvTimeoutError::Timeout) if stop.load(Ordering::Relaxed) => return Ok(None),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    let message = opening.message.take().and_then(|thread| thread.join().ok()).flatten();
                    let message = message.unwrap_or_else(|| "no frame in it".into());
                    return Err(problem(path, format!("no video that can be read (ffmpeg: {message})")));
                }
            }
        };
        let [width, height] = opening.size().map(|side| side as usize);
        if width.saturating_mul(height) > MAX_PIXELS {
            return Err(problem(path, format!("{width} x {height} pixels per frame are more than {MAX_PIXELS}")));
        }
        let (sender, frames) = sync_channel(AHEAD);
        opening.frames = frames;
        opening.rest = stdout.map(|stdout| std::thread::spawn(move || read_frames(stdout, 3 * width * height, &sender)));
        Ok(Some(opening))
    }

    /// Width and height in pixels.
    pub fn size(&self) -> [u32; 2] {
        self.header.size
    }

    /// Frames per second, a fraction.
    pub fn rate(&self) -> [u32; 2] {
        self.header.rate
    }

    /// The next frame.
    pub fn next(&mut self) -> Next {
        let [width, height] = self.header.size;
        match self.frames.recv_timeout(PATIENCE) {
            Ok(bytes) => RgbImage::from_raw(width, height, bytes).map_or(Next::End, Next::Frame),
            Err(RecvTimeoutError::Timeout) => Next::Pending,
            Err(RecvTimeoutError::Disconnected) => Next::End,
        }
    }

    /// Ends decoding. One line where the video ended early or is damaged; nothing where it was `stopped`.
    pub fn close(mut self, stopped: bool) -> Option<String> {
        if stopped {
            let _ = self.child.kill();
        }
        // A reader that waits to hand a frame over goes on.
        drop(std::mem::replace(&mut self.frames, sync_channel(0).1));
        let status = self.child.wait();
        let rest = self.rest.take().and_then(|thread| thread.join().ok()).unwrap_or(0);
        let message = self.message.take().and_then(|thread| thread.join().ok()).flatten();
        if stopped {
            return None;
        }
        let failed = !status.is_ok_and(|status| status.success());
        match message {
            Some(message) => Some(format!("the video is damaged or ends early (ffmpeg: {message})")),
            None if failed || rest > 0 => Some("the video ends within a frame".into()),
            None => None,
        }
    }
}

impl Drop for Frames {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Hands frames of so many bytes over until the end; the bytes of one that is not whole.
fn read_frames(mut stdout: impl Read, length: usize, sender: &SyncSender<Vec<u8>>) -> usize {
    loop {
        let mut frame = Vec::new();
        let read = (&mut stdout).take(length as u64).read_to_end(&mut frame);
        if read.is_err() || frame.len() < length {
            return frame.len();
        }
        if sender.send(frame).is_err() {
            return 0;
        }
    }
}

/// A video that is being written. It takes its name when it is whole.
pub struct Film {
    path: PathBuf,
    temporary: PathBuf,
    child: Child,
    stdin: Option<ChildStdin>,
    message: Option<Messages>,
}

impl Film {
    /// An MP4 file of frames of a width and height, so many per second (a fraction).
    ///
    /// # Errors
    /// No ffmpeg.
    pub fn create(path: &Path, size: [u32; 2], rate: [u32; 2]) -> Result<Self, TrainError> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let temporary = path.with_file_name(format!(".{name}.tmp"));
        let ([width, height], [up, down]) = (size, rate);
        // Players want 4:2:0, which has even sides.
        let mut child = ffmpeg()
            .args([
                "-y",
                "-f",
                "rawvideo",
                "-pix_fmt",
                "rgb24",
                "-s",
                &format!("{width}x{height}"),
                "-r",
                &format!("{up}/{down}"),
            ])
            .args(["-i", "pipe:0", "-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2", "-pix_fmt", "yuv420p"])
            .args(["-movflags", "+faststart", "-f", "mp4"])
            .arg(source(&temporary, false))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| not_started(path, &e))?;
        let stdin = child.stdin.take();
        let message = child.stderr.take().map(|stderr| first_message(stderr, |_| false));
        Ok(Self { path: path.into(), temporary, child, stdin, message })
    }

    /// Where it will be.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds a frame.
    ///
    /// # Errors
    /// ffmpeg's: a full disk.
    pub fn write(&mut self, frame: &RgbImage) -> Result<(), TrainError> {
        let written = self.stdin.as_mut().map_or(Ok(()), |stdin| stdin.write_all(frame.as_raw()));
        written.map_err(|e| self.failed(&e.to_string()))
    }

    /// Ends the video.
    ///
    /// # Errors
    /// ffmpeg's.
    pub fn finish(mut self) -> Result<(), TrainError> {
        drop(self.stdin.take());
        match self.child.wait() {
            Ok(status) if status.success() => std::fs::rename(&self.temporary, &self.path).map_err(TrainError::io(&self.path)),
            _ => Err(self.failed("it failed")),
        }
    }

    fn failed(&mut self, otherwise: &str) -> TrainError {
        drop(self.stdin.take());
        let _ = self.child.wait();
        let message = self.message.take().and_then(|thread| thread.join().ok()).flatten();
        problem(&self.path, format!("the video cannot be written (ffmpeg: {})", message.unwrap_or_else(|| otherwise.into())))
    }
}

impl Drop for Film {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let _ = self.child.wait();
        let _ = std::fs::remove_file(&self.temporary);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_have_size_and_rate() {
        let mut lines = HeaderLines::default();
        for line in ["#format: frame checksums", "#tb 0: 1001/30000", "#codec_id 0: rawvideo"] {
            assert!(lines.take(line) && lines.header().is_none(), "{line}");
        }
        assert!(lines.take("#dimensions 0: 640x480") && lines.take("0,          0,          0,        1,    76800, 0x33bba62c"));
        assert_eq!(lines.header(), Some(Header { size: [640, 480], rate: [30000, 1001] }));
        assert!(!lines.take("[mov @ 0x5] moov atom not found") && !lines.take(""));
        lines.take("#dimensions 0: 0x0");
        assert_eq!(lines.header(), None);
    }

    #[test]
    fn messages_lose_addresses() {
        assert_eq!(message("[mov,mp4,m4a @ 0x55d0a] moov atom not found\n"), "moov atom not found");
        assert_eq!(message("a.mp4: Invalid data"), "a.mp4: Invalid data");
        assert_eq!(message("[odd] name"), "[odd] name");
    }
}
