//! Tensors of cards, added by NCCL's interface: real processes, a simulated device, and a library over main memory (`fake_nccl.c`).

#![cfg(target_os = "linux")]

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use repghost_distributed::{Card, DistributedError, Endings, Engine, Group, Launch, Nccl, World};
use repghost_sim_device as sim;
use tch::{Device, Kind, Tensor};

const FOLDER: &str = "FAKE_NCCL_FOLDER";

/// What a test's first process finds when the others have ended: how, and what the library was asked for, by rank.
struct Seen {
    ended: Endings,
    calls: Vec<Vec<String>>,
}

/// A process of a test.
struct Rank {
    group: Group,
    number: usize,
}

/// Runs `test` of this program in `size` processes where `wrong` goes wrong, or, where this is one of them, returns it.
fn as_rank(test: &str, size: usize, seconds: u64, wrong: &str) -> Result<Rank, Seen> {
    if let Some(world) = World::from_environment().unwrap() {
        sim::install(2);
        let group = Group::connect(&world, Duration::from_secs(seconds)).unwrap();
        return Ok(Rank { number: world.rank, group });
    }
    let folder = tempdir(test);
    let done = Command::new(std::env::var_os("CC").unwrap_or_else(|| "cc".into()))
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .arg(folder.join("libnccl.so.2"))
        .arg(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fake_nccl.c"))
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let command = |_| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args([test, "--exact", "--nocapture"]).stdout(Stdio::null());
        command.env("OMP_NUM_THREADS", "1").env(FOLDER, &folder);
        command.env("FAKE_NCCL", wrong).env("FAKE_NCCL_LOG", folder.join("calls"));
        command
    };
    let ended = Launch::start(size, 0, command).unwrap().wait(&AtomicBool::new(false)).unwrap();
    let calls = |rank| std::fs::read_to_string(folder.join(format!("calls.{rank}"))).unwrap_or_default();
    let calls = (0..size).map(|rank| calls(rank).lines().map(String::from).collect()).collect();
    std::fs::remove_dir_all(&folder).unwrap();
    Err(Seen { ended, calls })
}

fn tempdir(test: &str) -> PathBuf {
    static NUMBER: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("repghost-{test}-{}-{number}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

impl Seen {
    fn all_succeeded(self) -> Self {
        assert_eq!(self.ended.first, None, "{:?}", self.ended);
        self
    }
}

impl Rank {
    /// The second of two simulated cards, so that the number is not everyone's default.
    fn device(&self) -> Device {
        Device::Cuda(1)
    }

    fn seat(&self, identity: &str) -> Result<(Card, Nccl), String> {
        let library = PathBuf::from(std::env::var_os(FOLDER).unwrap()).join("libnccl.so.2");
        Ok((Card { number: 1, identity: identity.into() }, Nccl::open_at(&library)?))
    }

    fn start(&self) -> Engine {
        self.group.use_nccl(self.seat(&format!("card {}", self.number))).unwrap()
    }

    fn ones(&self, n: i64) -> Tensor {
        Tensor::ones([n], (Kind::Float, self.device()))
    }
}

#[test]
fn cards_add_and_broadcast() {
    let rank = match as_rank("cards_add_and_broadcast", 3, 60, "") {
        Ok(rank) => rank,
        Err(seen) => {
            let seen = seen.all_succeeded();
            // A first sum, two buckets, two tensors by themselves; the empty one is left out.
            let own = [vec!["init"], vec!["all_reduce"; 5], vec!["broadcast"; 2], vec!["finalize", "destroy"]].concat();
            assert_eq!(seen.calls, [[vec!["id"], own.clone()].concat(), own.clone(), own]);
            return;
        }
    };
    let (group, number) = (&rank.group, rank.number as i64);
    assert_eq!(rank.start(), Engine::Nccl("2.28.9".into()));
    let tensors = [
        Tensor::full([7_000_000], number, (Kind::Float, rank.device())),
        Tensor::full([3, 5], 2 * number, (Kind::Float, rank.device())).transpose(0, 1),
        Tensor::zeros([0], (Kind::Float, rank.device())),
    ];
    sim::reset();
    let sums = group.sums(&tensors).unwrap();
    let counts = sim::counts();
    assert_eq!((counts.waiting_from(), counts.from_async, counts.to_waiting + counts.to_async), (0, 0, 0), "{}", sim::log());
    let sizes = |tensors: &[Tensor]| tensors.iter().map(Tensor::size).collect::<Vec<_>>();
    assert_eq!(sizes(&sums), sizes(&tensors));
    assert!(sums.iter().all(|t| t.device() == rank.device()));
    assert_eq!([0, 1].map(|i| (sums[i].min().double_value(&[]), sums[i].max().double_value(&[]))), [(3.0, 3.0), (6.0, 6.0)]);
    assert_eq!(tensors[0].double_value(&[0]), number as f64);
    // In place, in a part of a tensor that is not contiguous, of a tensor with a gradient.
    let whole = Tensor::full([2, 3], number, (Kind::Double, rank.device()));
    group.all_reduce(&whole.narrow(1, 1, 1)).unwrap();
    let row = [number as f64, 3.0, number as f64];
    assert_eq!(Vec::<f64>::try_from(whole.to_device(Device::Cpu).view(-1)).unwrap(), [row, row].concat());
    let leaf = rank.ones(4).set_requires_grad(true);
    group.all_reduce(&leaf).unwrap();
    assert_eq!(leaf.double_value(&[3]), 3.0);
    // Numbers that NCCL does not have go through main memory, like tensors that are there; all in one call.
    let flags = Tensor::from_slice(&[number == 2, true]).to_device(rank.device());
    let counts = Tensor::from_slice(&[number, 10 * number]).to_device(rank.device());
    let (means, host) = (rank.ones(2) * number, Tensor::from_slice(&[number]));
    let all = [&flags, &counts, &host, &means].map(Tensor::shallow_clone);
    group.broadcast(&all, 2).unwrap();
    let numbers = |t: &Tensor| Vec::<f64>::try_from(t.to_device(Device::Cpu).to_kind(Kind::Double)).unwrap();
    assert_eq!([&flags, &counts, &host, &means].map(numbers), [vec![1.0, 1.0], vec![2.0, 20.0], vec![2.0], vec![2.0, 2.0]]);
}

/// Where NCCL cannot be used all processes take gloo, for the same reason, and sums are right.
#[test]
fn hindrances_are_the_same_for_all() {
    let cases = [
        ("", "ranks 0 and 1 share a card"),
        ("cpu", "rank 1 computes on the CPU"),
        ("version@1", "rank 0 has NCCL 2.28.9, rank 1 2.27.3"),
        ("id@0", "it does not start on rank 0 (NCCL: error)"),
        ("refuse@1", "it does not start on rank 1 (NCCL: unhandled cuda error)"),
    ];
    if std::env::var_os("RANK").is_none() {
        for (wrong, _) in cases {
            let Err(seen) = as_rank("hindrances_are_the_same_for_all", 2, 60, wrong) else { unreachable!() };
            let seen = seen.all_succeeded();
            // What was made is given back.
            let calls = match wrong {
                "id@0" => [vec!["id"], vec![]],
                "refuse@1" => [vec!["id", "init", "abort"], vec!["init"]],
                _ => [vec![], vec![]],
            };
            assert_eq!(seen.calls, calls, "{wrong}");
        }
        return;
    }
    let Ok(rank) = as_rank("", 2, 60, "") else { unreachable!() };
    let wrong = std::env::var("FAKE_NCCL").unwrap();
    let (_, reason) = cases.into_iter().find(|(case, _)| *case == wrong).unwrap();
    let started = Instant::now();
    let engine = match wrong.as_str() {
        "" => rank.group.use_nccl(rank.seat("the same")).unwrap(),
        "cpu" if rank.number == 1 => rank.group.use_nccl(Err("computes on the CPU".into())).unwrap(),
        _ => rank.start(),
    };
    assert_eq!(engine, Engine::Gloo(reason.into()));
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    let t = rank.ones(3);
    rank.group.all_reduce(&t).unwrap();
    assert_eq!((t.double_value(&[2]), t.device()), (2.0, rank.device()));
}

/// An error that NCCL reports ends the communicator and every later call; the other process is not left waiting.
#[test]
fn an_error_of_the_network_ends_all() {
    let rank = match as_rank("an_error_of_the_network_ends_all", 2, 60, "error@1") {
        Ok(rank) => rank,
        Err(seen) => {
            let calls = seen.all_succeeded().calls;
            let own = vec!["init", "all_reduce", "all_reduce", "all_reduce", "abort"];
            assert_eq!(calls, [[vec!["id"], own.clone()].concat(), own]);
            return;
        }
    };
    let t = rank.ones(3);
    rank.start();
    rank.group.all_reduce(&t).unwrap();
    let started = Instant::now();
    let error = rank.group.all_reduce(&t).unwrap_err();
    if rank.number == 1 {
        let lost = DistributedError::Lost {
            rank: 1,
            seconds: 60,
            reason: "NCCL: remote process exited or there was a network error".into(),
        };
        assert_eq!((&error, rank.group.all_reduce(&t).unwrap_err()), (&lost, lost.clone()));
    }
    assert!(matches!(error, DistributedError::Lost { .. }), "{error}");
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

#[test]
fn an_operation_that_hangs_is_given_up_after_the_timeout() {
    let rank = match as_rank("an_operation_that_hangs_is_given_up_after_the_timeout", 2, 3, "hang@0") {
        Ok(rank) => rank,
        Err(seen) => return assert!(seen.all_succeeded().calls.iter().all(|calls| calls.last().unwrap() == "abort")),
    };
    let t = rank.ones(3);
    rank.start();
    rank.group.all_reduce(&t).unwrap();
    let started = Instant::now();
    let error = rank.group.all_reduce(&t).unwrap_err().to_string();
    assert!(error.contains("did not answer within 3 s (train.distributed.timeout_s)"), "{error}");
    let took = started.elapsed();
    assert!(took >= Duration::from_secs(2) && took < Duration::from_secs(10), "{took:?}");
}

/// The card would wait for a process that has died; the control group finds it.
#[test]
fn a_death_is_found_at_once() {
    let rank = match as_rank("a_death_is_found_at_once", 2, 60, "deaf@0") {
        Ok(rank) => rank,
        Err(seen) => {
            assert_eq!((seen.ended.first, seen.ended.all[1].status.code()), (Some(1), Some(9)), "{:?}", seen.ended);
            assert_eq!(seen.calls[0], ["id", "init", "all_reduce", "all_reduce", "abort"]);
            assert!(seen.ended.all[0].status.success());
            return;
        }
    };
    rank.start();
    if rank.number == 1 {
        rank.group.fail("the disk is full");
        // SAFETY: it may be called at any time.
        unsafe { libc::_exit(9) };
    }
    let started = Instant::now();
    let error = rank.group.all_reduce(&rank.ones(3)).unwrap_err();
    assert_eq!(error, DistributedError::Peer { rank: 1, cause: "the disk is full".into() });
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}
