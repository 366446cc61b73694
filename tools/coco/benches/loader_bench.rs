//! Images per second from JPEG files to resized float batches, the counterpart of a PIL + torchvision + DataLoader loop.
//!
//! `loader_bench FOLDER [WORKERS…]` reads FOLDER/*/*.jpg: decode, long side to 320 pixels (antialiased), floats in [0, 1],
//! batches of 4. Each line is the second pass over the files; nothing is cached but the files themselves, by the system.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use repghost_coco::{
    read_image, AugmentConfig, DataError, DecodeConfig, Loader, LoaderConfig, Normalize, ResizeConfig, Sample, Source,
};

const LONG_SIDE: usize = 320;
const BATCH: usize = 4;
const DEFAULT_WORKERS: [usize; 3] = [0, 1, 2];

struct Files(Vec<PathBuf>);

impl Source for Files {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn aspect(&self, _: usize) -> f64 {
        1.0
    }

    fn load(&self, index: usize) -> Result<Sample, DataError> {
        Ok(Sample { image: read_image(&self.0[index], &DecodeConfig::default())?, ..Sample::default() })
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1).filter(|a| a != "--bench");
    let folder = args.next().ok_or("usage: loader_bench FOLDER [WORKERS…]")?;
    let mut workers = args.map(|w| w.parse()).collect::<Result<Vec<usize>, _>>()?;
    if workers.is_empty() {
        workers.extend(DEFAULT_WORKERS);
    }
    let source = Arc::new(Files(files(Path::new(&folder))?));
    for workers in workers {
        let augment = AugmentConfig { resize: ResizeConfig::longest(LONG_SIDE), ..AugmentConfig::default() };
        let config = LoaderConfig { batch_size: BATCH, workers, augment, normalize: Normalize::UNIT, ..LoaderConfig::default() };
        let loader = Loader::new(source.clone(), config.evaluation())?;
        pass(&loader)?;
        let start = Instant::now();
        let count = pass(&loader)?;
        println!("workers {workers}: {:.0} img/s", count as f64 / start.elapsed().as_secs_f64());
    }
    Ok(())
}

fn files(folder: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let Ok(inner) = std::fs::read_dir(entry?.path()) else { continue };
        let jpeg = |path: &PathBuf| path.extension().is_some_and(|e| e == "jpg");
        files.extend(inner.filter_map(|e| Some(e.ok()?.path())).filter(jpeg));
    }
    files.sort();
    if files.is_empty() {
        return Err(format!("no */*.jpg in {}", folder.display()).into());
    }
    Ok(files)
}

fn pass(loader: &Loader) -> Result<usize, DataError> {
    loader.epoch(0, 0).try_fold(0, |count, batch| Ok(count + batch?.targets.len()))
}
