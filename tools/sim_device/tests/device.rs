//! The simulated device keeps its promises: the CPU's numbers, a card's refusals, honest counts.

use repghost_kernels::device::memory::pinned;
use repghost_kernels::device::precision::Autocast;
use repghost_kernels::device::stream::{copy_beside, synchronize, CopyStream};
use repghost_kernels::device::{memory, to_device, to_host, Choice};
use repghost_sim_device::{counted, counts, log, turn, NoWaits};
use tch::{Device, Kind, Reduction, Tensor};

/// Values without a pattern, from an index.
fn noise(shape: &[i64], seed: f64) -> Tensor {
    let n: i64 = shape.iter().product();
    let x = Tensor::arange(n, (Kind::Double, Device::Cpu)) * 12.9898 + seed;
    ((x.sin() * 43758.5453).frac() - 0.25).to_kind(Kind::Float).view(shape)
}

fn bits(t: &Tensor) -> Vec<u32> {
    let flat = t.detach().to_device(Device::Cpu).to_kind(Kind::Float).contiguous().view([-1]);
    Vec::<f32>::try_from(flat).unwrap().into_iter().map(f32::to_bits).collect()
}

/// Output and all gradients of a small network with the operations of a detector.
fn network(device: Device) -> Vec<Vec<u32>> {
    let leaf = |shape: &[i64], seed| noise(shape, seed).to_device(device).set_requires_grad(true);
    let input = noise(&[2, 3, 16, 16], 0.1).to_device(device);
    let weights = [
        leaf(&[8, 3, 3, 3], 0.2),
        leaf(&[8, 1, 3, 3], 0.3),
        leaf(&[8, 8, 1, 1], 0.4),
        leaf(&[8], 0.5),
        leaf(&[8], 0.6),
        leaf(&[4, 8], 0.7),
    ];
    let [dense, depthwise, point, scale, shift, linear] = &weights;
    let mean = Tensor::zeros([8], (Kind::Float, device));
    let variance = Tensor::ones([8], (Kind::Float, device));
    let x = input.conv2d(dense, None::<&Tensor>, [2, 2], [1, 1], [1, 1], 1);
    let x = x.batch_norm(Some(scale), Some(shift), Some(&mean), Some(&variance), true, 0.1, 1e-5, true).relu();
    let x = x.conv2d(depthwise, None::<&Tensor>, [1, 1], [1, 1], [1, 1], 8).hardsigmoid();
    let up = x.max_pool2d([2, 2], [2, 2], [0, 0], [1, 1], false).upsample_nearest2d([8, 8], None, None);
    let x = Tensor::cat(&[&x, &up], 0).conv2d(point, None::<&Tensor>, [1, 1], [0, 0], [1, 1], 1);
    let x = x.group_norm(2, Some(scale), Some(shift), 1e-5, true);
    let picked = x.mean_dim(&[2i64, 3][..], false, None::<Kind>).linear(linear, None::<&Tensor>);
    let loss = picked.smooth_l1_loss(&picked.zeros_like(), Reduction::Sum, 0.5) + x.std(true);
    loss.backward();
    let outputs = [&loss, &mean, &variance];
    outputs.into_iter().map(bits).chain(weights.iter().map(|w| bits(&w.grad()))).collect()
}

#[test]
fn numbers_are_the_cpus_bit_for_bit() {
    let (device, _turn) = turn(2);
    assert_eq!(network(device), network(Device::Cpu));
    assert_eq!(network(Device::Cuda(1)), network(Device::Cpu));
}

#[test]
fn sides_do_not_mix() {
    let (device, _turn) = turn(2);
    let (host, card) = (noise(&[4], 0.1), noise(&[4], 0.2).to_device(device));
    let refused = |r: Result<Tensor, tch::TchError>| r.unwrap_err().to_string();
    assert!(refused(card.f_add(&host)).contains("Expected all tensors to be on the same device"));
    assert!(refused(card.f_add(&noise(&[4], 0.3).to_device(Device::Cuda(1)))).contains("at least two devices"));
    assert!(refused(Tensor::f_cat(&[&card, &host], 0)).contains("same device"));
    assert!(refused(card.f_index_select(0, &Tensor::from_slice(&[1i64]))).contains("same device"));
    // A scalar of the host may stand in arithmetic, and nowhere else.
    assert!(card.f_add(&Tensor::from(1f32)).is_ok());
    assert!(refused(Tensor::f_cat(&[&card.get(0).view([1]), &Tensor::from(1f32).view([1])], 0)).contains("same device"));
    // An operation that no card has.
    assert!(card.f_histogram_bin_ct(4, [0.0, 1.0].as_slice(), None::<&Tensor>, false).is_err());
}

#[test]
fn crossings_are_counted_and_told_apart() {
    let (device, _turn) = turn(2);
    let host = noise(&[8], 0.1);
    let (card, c) = counted(|| host.to_device(device));
    assert_eq!((c.to_waiting, c.to_async, c.launches, c.bytes_to), (1, 0, 0, 32), "{}", log());
    let (beside, c) = counted(|| to_device(&host, device).unwrap());
    assert_eq!((c.to_waiting, c.to_async, bits(&beside)), (0, 1, bits(&host)), "{}", log());
    let (sum, c) = counted(|| (&card * 2.0).sum(Kind::Float));
    assert_eq!((c.launches, c.to_waiting, c.waiting_from()), (2, 0, 0), "{}", log());
    let (_, c) = counted(|| f64::try_from(&sum).unwrap());
    assert_eq!(c.waiting_from(), 1, "{}", log());
    let (_, c) = counted(|| card.nonzero());
    assert_eq!(c.shapes, 1, "{}", log());
    let (_, c) = counted(|| card.view([2, 4]).narrow(1, 0, 2).transpose(0, 1).shallow_clone());
    assert_eq!((c.launches, c.waiting_from(), c.to_waiting), (0, 0, 0), "{}", log());
    let _no = NoWaits::start();
    let error = card.f_to_device(Device::Cpu).unwrap_err().to_string();
    assert!(error.contains("would make the host wait"), "{error}");
}

/// What is large comes through pinned memory; the values are there when it returns.
#[test]
fn fetches_wait_once_and_for_the_values() {
    let (device, _turn) = turn(2);
    for shape in [[1 << 10, 8], [1 << 13, 8]] {
        let host = noise(&shape, 0.1);
        let card = (host.to_device(device) * 2.0).to_kind(Kind::BFloat16).transpose(0, 1);
        let (fetched, c) = counted(|| to_host(&card).unwrap());
        let large = shape[0] > 1 << 10;
        let crossings = (c.waiting_from(), c.from_async, c.waits);
        assert_eq!(crossings, if large { (0, 1, 1) } else { (1, 0, 0) }, "{}", log());
        let expected = (host * 2.0).to_kind(Kind::BFloat16).transpose(0, 1).to_kind(Kind::Float).contiguous();
        assert!(fetched.is_contiguous() && fetched.device() == Device::Cpu);
        assert_eq!(bits(&fetched), bits(&expected));
        assert_eq!(counts().races, 0);
    }
}

/// A pinned buffer goes beside the host; what the card computes with it waits on the card only.
#[test]
fn uploads_run_beside_the_host() {
    let (device, _turn) = turn(2);
    let mut buffer = pinned(&[2, 3], Kind::Uint8).unwrap();
    buffer.copy_(&Tensor::from_slice(&[1u8, 2, 3, 4, 5, 6]).view([2, 3]));
    let stream = CopyStream::new(0).unwrap();
    let ((sum, upload), c) = counted(|| {
        let upload = stream.upload(&buffer).unwrap();
        (upload.tensor().unwrap().to_kind(Kind::Float).sum(Kind::Float), upload)
    });
    assert_eq!((c.to_async, c.to_waiting, c.waiting_from(), c.waits), (1, 0, 0, 0), "{}", log());
    upload.done().wait().unwrap();
    assert_eq!(f64::try_from(sum).unwrap(), 21.0);
    assert_eq!(counts().races, 0);
    // Written too early.
    let upload = stream.upload(&buffer).unwrap();
    let _ = buffer.fill_(9);
    drop(upload);
    let _ = f64::try_from(Tensor::ones([1], (Kind::Float, device)).sum(Kind::Float));
    assert_eq!(counts().races, 1);
}

#[test]
fn what_has_not_arrived_is_garbage() {
    let (device, _turn) = turn(2);
    let card = Tensor::from_slice(&[1f32, 2.0]).to_device(device);
    let mut host = pinned(&[2], Kind::Float).unwrap();
    host.copy_(&Tensor::zeros([2], (Kind::Float, Device::Cpu)));
    let arrived = |t: &Tensor| Vec::<f32>::try_from(t.shallow_clone()).unwrap();
    copy_beside(&mut host, &card).unwrap();
    assert!(arrived(&host).iter().all(|v| v.is_nan()));
    synchronize(device).unwrap();
    assert_eq!(arrived(&host), [1.0, 2.0]);
}

#[test]
fn lower_precision_and_memory() {
    let (device, _turn) = turn(2);
    let x = noise(&[4, 4], 0.1).to_device(device);
    {
        let _cast = Autocast::start(device, Kind::BFloat16).unwrap();
        assert_eq!(x.matmul(&x).kind(), Kind::BFloat16);
    }
    let before = memory::usage(device).unwrap().unwrap();
    let big = Tensor::zeros([1 << 18], (Kind::Float, device));
    let during = memory::usage(device).unwrap().unwrap();
    assert_eq!(during.used - before.used, 1 << 20);
    drop(big);
    memory::reset_peak(device).unwrap();
    assert_eq!(memory::usage(device).unwrap().unwrap().peak, before.used);
    assert_eq!(memory::usage(Device::Cpu).unwrap(), None);
}

#[test]
fn it_is_chosen_like_a_card() {
    let (device, _turn) = turn(2);
    assert_eq!(Choice::Auto.resolve().unwrap().device, device);
    assert_eq!(Choice::Cuda(1).resolve().unwrap().device, Device::Cuda(1));
    let error = Choice::Cuda(2).resolve().unwrap_err().to_string();
    assert_eq!(error, "there is no card 2: this machine shows 2 cards, cuda:0 to cuda:1");
}
