//! The folder of a run's checkpoints.

use std::path::{Path, PathBuf};

use super::{file, Checkpoint};
use crate::error::TrainError;

/// The file of a step: `step_00000120.safetensors`.
pub fn path(folder: &Path, step: u64) -> PathBuf {
    folder.join(format!("step_{step:08}.safetensors"))
}

/// The steps of which there is a file, ascending. A folder that is not there has none.
///
/// # Errors
/// When the folder cannot be read.
pub fn steps(folder: &Path) -> Result<Vec<u64>, TrainError> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(vec![]),
        Err(e) => return Err(TrainError::io(folder)(e)),
    };
    let mut steps = vec![];
    for entry in entries {
        let name = entry.map_err(TrainError::io(folder))?.file_name();
        let name = name.to_string_lossy();
        let number = name.strip_prefix("step_").and_then(|n| n.strip_suffix(".safetensors"));
        steps.extend(number.and_then(|n| n.parse::<u64>().ok()));
    }
    steps.sort_unstable();
    Ok(steps)
}

/// The newest checkpoint that can be read. Damaged ones on the way to it are reported to `warn`, one line each.
///
/// # Errors
/// When there are files but none is good; `Ok(None)` is a folder without checkpoints.
pub fn newest(folder: &Path, mut warn: impl FnMut(String)) -> Result<Option<Checkpoint>, TrainError> {
    let steps = steps(folder)?;
    for (i, step) in steps.iter().enumerate().rev() {
        match file::read(&path(folder, *step)) {
            Ok(checkpoint) => return Ok(Some(checkpoint)),
            Err(e) => match i.checked_sub(1).and_then(|i| steps.get(i)) {
                Some(before) => warn(format!("{e}; falling back to the checkpoint of step {before}")),
                None => return Err(e),
            },
        }
    }
    Ok(None)
}

/// Deletes the checkpoint of a step. One that is not there is no error.
///
/// # Errors
/// When the file cannot be removed.
pub fn delete(folder: &Path, step: u64) -> Result<(), TrainError> {
    let path = path(folder, step);
    match std::fs::remove_file(&path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(TrainError::io(path)(e)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Best, Progress, FORMAT};
    use super::*;
    use tch::Tensor;

    fn checkpoint(step: u64) -> Checkpoint {
        let tensors = |v: f32| [("conv.weight".to_string(), Tensor::from_slice(&[v, step as f32]).view([1, 2]))].into();
        Checkpoint {
            progress: Progress {
                format: FORMAT,
                step,
                epoch: 1,
                batch: 3,
                seed: 7,
                ema_updates: step,
                best: Some(Best { step: 2, value: 0.123456789012345 }),
                seconds: 1.5,
                config_hash: super::super::config_hash("a: 1"),
                layout: None,
                schedule_shift: -3,
                time_end: None,
                sums: Default::default(),
                loss_scale: None,
            },
            model: tensors(1.0),
            ema: tensors(2.0),
            optimizer: [("step.conv.weight".to_string(), Tensor::from_slice(&[i64::MAX]))].into(),
        }
    }

    fn saved(steps: &[u64]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for step in steps {
            file::write(&path(dir.path(), *step), &checkpoint(*step)).unwrap();
        }
        dir
    }

    #[test]
    fn what_is_written_is_read() {
        let dir = saved(&[5]);
        let found = newest(dir.path(), |w| panic!("{w}")).unwrap().unwrap();
        let expected = checkpoint(5);
        assert_eq!(found.progress, expected.progress);
        for (a, b) in [(&found.model, &expected.model), (&found.ema, &expected.ema), (&found.optimizer, &expected.optimizer)] {
            assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>());
            assert!(a.values().zip(b.values()).all(|(a, b)| a.kind() == b.kind() && a.equal(b)));
        }
    }

    /// A flipped bit, a cut file, an empty file: each falls back to the step before, with a warning.
    #[test]
    fn damage_falls_back_to_the_step_before() {
        let damages: [fn(&mut Vec<u8>); 3] = [
            |b| {
                let last = b.len() - 1;
                b[last] ^= 1;
            },
            |b| b.truncate(b.len() / 2),
            |b| b.clear(),
        ];
        for damage in damages {
            let dir = saved(&[2, 30, 100]);
            let last = path(dir.path(), 100);
            let mut bytes = std::fs::read(&last).unwrap();
            damage(&mut bytes);
            std::fs::write(&last, bytes).unwrap();
            let mut warnings = vec![];
            let found = newest(dir.path(), |w| warnings.push(w)).unwrap().unwrap();
            assert_eq!(found.progress.step, 30);
            assert_eq!(warnings.len(), 1);
            assert!(warnings[0].contains("step_00000100") && warnings[0].ends_with("falling back to the checkpoint of step 30"));
        }
    }

    /// The progress is covered by the checksum too.
    #[test]
    fn a_changed_position_is_noticed() {
        let dir = saved(&[2]);
        let file = path(dir.path(), 2);
        let mut bytes = std::fs::read(&file).unwrap();
        let key = b"\\\"batch\\\":3";
        let at = bytes.windows(key.len()).position(|w| w == key).unwrap() + key.len() - 1;
        bytes[at] = b'4';
        std::fs::write(&file, bytes).unwrap();
        let err = newest(dir.path(), |_| ()).unwrap_err();
        assert!(err.to_string().contains("damaged: checksum"), "{err}");
    }

    #[test]
    fn folders_without_checkpoints_and_files_of_others() {
        let dir = tempfile::tempdir().unwrap();
        assert!(newest(&dir.path().join("none"), |_| ()).unwrap().is_none());
        std::fs::write(dir.path().join("step_x.safetensors"), "").unwrap();
        std::fs::write(dir.path().join(".step_00000001.safetensors.12.0.tmp"), "half").unwrap();
        assert!(newest(dir.path(), |_| ()).unwrap().is_none());
        delete(dir.path(), 4).unwrap();
    }
}
