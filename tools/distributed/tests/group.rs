//! Real processes: this program starts itself once per rank.

use std::process::{Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use repghost_distributed::{Buckets, DistributedError, Endings, Group, Launch, Reducer, World};
use tch::{Device, Kind, Tensor};

/// Runs `test` of this program in `size` processes, or, where this is one of them, returns its group.
fn as_rank(test: &str, size: usize, seconds: u64) -> Result<Group, Endings> {
    if let Some(world) = World::from_environment().unwrap() {
        return Ok(Group::connect(&world, Duration::from_secs(seconds)).unwrap());
    }
    let command = |_| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args([test, "--exact", "--nocapture"]).env("OMP_NUM_THREADS", "1").stdout(Stdio::null());
        command
    };
    let mut launch = Launch::start(size, 0, command).unwrap();
    Err(launch.wait(&AtomicBool::new(false)).unwrap())
}

fn all_succeeded(ended: Endings) {
    assert_eq!(ended.first, None, "{ended:?}");
}

#[test]
fn sums_broadcasts_and_bytes() {
    let group = match as_rank("sums_broadcasts_and_bytes", 3, 60) {
        Ok(group) => group,
        Err(ended) => return all_succeeded(ended),
    };
    let rank = group.rank() as i64;
    // More than one bucket, a tensor that is not contiguous, an empty one.
    let tensors = [
        Tensor::full([7_000_000], rank, (Kind::Float, Device::Cpu)),
        Tensor::full([3, 5], 2 * rank, (Kind::Float, Device::Cpu)).transpose(0, 1),
        Tensor::zeros([0], (Kind::Float, Device::Cpu)),
    ];
    let sums = group.sums(&tensors).unwrap();
    let sizes = |tensors: &[Tensor]| tensors.iter().map(Tensor::size).collect::<Vec<_>>();
    assert_eq!(sizes(&sums), sizes(&tensors));
    assert_eq!([0, 1].map(|i| (sums[i].min().double_value(&[]), sums[i].max().double_value(&[]))), [(3.0, 3.0), (6.0, 6.0)]);
    let t = Tensor::from_slice(&[rank, 10 * rank]);
    group.broadcast(&[t.shallow_clone()], 2).unwrap();
    assert_eq!(Vec::<i64>::try_from(&t).unwrap(), [2, 20]);
    assert_eq!(group.each(rank as f64).unwrap(), [0.0, 1.0, 2.0]);
    let texts = ["", "a", "longer"];
    let gathered = group.gather(texts[rank as usize].as_bytes()).unwrap();
    assert_eq!(gathered, texts.map(|t| t.as_bytes().to_vec()));
    assert_eq!(group.range(7), [0..3, 3..5, 5..7][rank as usize]);
    group.agree("version", "1").unwrap();
    let error = group.agree("experiment", ["a", "a", "b"][rank as usize]).unwrap_err().to_string();
    assert_eq!(error, "experiment differs: rank 0 has a, rank 2 has b; start all processes alike");
    group.barrier().unwrap();
}

/// A process that dies ends the calls of the others at once, and one that fails leaves them its cause.
#[test]
fn a_failure_reaches_the_others() {
    let group = match as_rank("a_failure_reaches_the_others", 3, 60) {
        Ok(group) => group,
        Err(ended) => {
            assert_eq!((ended.first, ended.all[1].status.code(), ended.all[1].killed), (Some(1), Some(9), false), "{ended:?}");
            return;
        }
    };
    group.barrier().unwrap();
    if group.rank() == 1 {
        group.fail("the disk is full");
        std::process::exit(9);
    }
    let started = Instant::now();
    let error = group.barrier().unwrap_err();
    assert_eq!(error, DistributedError::Peer { rank: 1, cause: "the disk is full".into() });
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_process_that_hangs_is_given_up_after_the_timeout() {
    let group = match as_rank("a_process_that_hangs_is_given_up_after_the_timeout", 2, 3) {
        Ok(group) => group,
        Err(ended) => return all_succeeded(ended),
    };
    group.barrier().unwrap();
    if group.rank() == 1 {
        std::thread::sleep(Duration::from_secs(5));
        return;
    }
    let error = group.barrier().unwrap_err().to_string();
    assert!(error.starts_with("rank 0 lost the others: one has died, or did not answer within 3 s"), "{error}");
}

/// After an interrupt a process may take longer than the others, to save.
#[test]
fn an_interrupted_process_has_time_to_save() {
    if std::env::var_os("RANK").is_some() {
        return;
    }
    let script = |rank: usize| {
        let mut command = Command::new("bash");
        // Rank 0 ends after 6 seconds, the other at once.
        command.args(["-c", "trap 'sleep $WAIT; exit 130' INT; touch $READY; while true; do sleep 0.05; done"]);
        command.env("WAIT", if rank == 0 { "6" } else { "0" }).env("READY", ready().join(rank.to_string()));
        command
    };
    std::fs::create_dir_all(ready()).unwrap();
    let stop = AtomicBool::new(false);
    let mut launch = Launch::start(2, 0, script).unwrap();
    let ended = std::thread::scope(|scope| {
        scope.spawn(|| {
            while (0..2).any(|rank| !ready().join(rank.to_string()).exists()) {
                std::thread::sleep(Duration::from_millis(20));
            }
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        launch.wait(&stop).unwrap()
    });
    std::fs::remove_dir_all(ready()).unwrap();
    assert_eq!(ended.first, None, "{ended:?}");
    assert!(ended.all.iter().all(|e| e.status.code() == Some(130) && !e.killed), "{ended:?}");
}

/// Files that processes of the test above make when they can be interrupted.
fn ready() -> std::path::PathBuf {
    std::env::temp_dir().join(format!("repghost-launch-{}", std::process::id()))
}

#[test]
fn a_world_that_is_not_complete_is_one_line() {
    if World::from_environment().unwrap().is_some() {
        return;
    }
    let port = repghost_distributed::free_port().unwrap();
    let world = World { rank: 1, size: 2, local_rank: 1, address: "127.0.0.1".into(), port, agent_store: false, attempt: 0 };
    let error = Group::connect(&world, Duration::from_secs(2)).unwrap_err().to_string();
    assert!(error.starts_with(&format!("rank 1 of 2 did not meet the others at 127.0.0.1:{port} within 2 s")), "{error}");
    assert_eq!(error.lines().count(), 1);
}

/// Gradients of two parameters, watched during the backward or given after it: the same bits, and the sums of a hand calculation.
#[test]
fn gradients_are_added_in_buckets_watched_or_not() {
    let group = match as_rank("gradients_are_added_in_buckets_watched_or_not", 2, 60) {
        Ok(group) => group,
        Err(ended) => return all_succeeded(ended),
    };
    let rank = group.rank() as f64;
    let parameter = |n: i64| Tensor::ones([n], (Kind::Float, Device::Cpu)).set_requires_grad(true);
    let all = [parameter(5), parameter(300), parameter(7), parameter(2)];
    let tensors: Vec<&Tensor> = all.iter().collect();
    // The last parameter takes no part; the third one on the second process only.
    let gradients = || {
        let mut loss = (&all[0] * (rank + 1.0)).sum(Kind::Float) + (all[1].square() * (0.1 + rank / 3.0)).sum(Kind::Float);
        if rank > 0.0 {
            loss += (&all[2] * 4.0).sum(Kind::Float);
        }
        let grads = Tensor::f_run_backward(&[loss], &tensors, false, false).unwrap();
        grads.into_iter().map(|g| g.defined().then_some(g)).collect::<Vec<_>>()
    };
    let mut results = vec![];
    for (bytes, count, bf16) in [(1 << 20, 1, false), (30, 4, false), (64, 3, false), (1 << 20, 1, true)] {
        let mut reducer = Reducer::new(&group, &tensors, Buckets { bytes, bf16 }).unwrap();
        assert_eq!(reducer.buckets(), count, "{bytes} bytes");
        let late = reducer.finish(&gradients()).unwrap();
        // Twice, as in two steps.
        for _ in 0..2 {
            reducer.watch().unwrap();
            let found = gradients();
            let watched = reducer.finish(&found).unwrap();
            for (a, b) in watched.iter().zip(&late) {
                assert!(a.equal(b), "{a:?} {b:?}");
            }
        }
        results.push(late);
    }
    for sums in &results[..3] {
        let value = |i: usize| (sums[i].min().double_value(&[]), sums[i].max().double_value(&[]));
        assert_eq!((value(0), value(2), value(3)), ((3.0, 3.0), (4.0, 4.0), (0.0, 0.0)));
        let expected = 2.0 * (0.1 + 0.1 + 1.0 / 3.0);
        assert!((value(1).0 - expected).abs() < 1e-6 && sums[1].size() == [300]);
    }
    // 8 bits of precision: off, but by less than a 256th.
    let (exact, rounded) = (results[0][1].double_value(&[0]), results[3][1].double_value(&[0]));
    assert!(exact != rounded && (exact / rounded - 1.0).abs() < 1.0 / 256.0, "{exact} {rounded}");
}
