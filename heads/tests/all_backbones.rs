//! Every name of the registry under every head: the pyramid reads true channels and strides, a train step reaches every parameter, folding
//! changes nothing.

use repghost_backbone::registry;
use repghost_backbone::synthetic::input;
use repghost_backbone::{BackboneConfig, Eager, FuseLevel, Role, Tree};
use repghost_heads::{CroppedMask, Detector, FpnConfig, HeadConfig, ImageBatch, Target};

const SIZE: [i64; 2] = [128, 160];
const CHANNELS: i64 = 16;
const CLASSES: i64 = 3;

fn heads() -> Vec<HeadConfig> {
    HeadConfig::NAMES.iter().filter_map(|name| HeadConfig::narrow(name)).collect()
}

fn build(name: &str, head: &HeadConfig) -> Detector {
    tch::manual_seed(1);
    let fpn = FpnConfig { channels: CHANNELS, ..FpnConfig::default() };
    head.build(BackboneConfig::named(name).build_features().unwrap(), &fpn, CLASSES).unwrap()
}

fn batch() -> (ImageBatch, Vec<Target>) {
    let [h, w] = SIZE;
    let images = ImageBatch { pixels: input("images", &[2, 3, h, w]), sizes: vec![SIZE, [h, w - 30]] };
    let target = |boxes: &[[f32; 4]], labels: &[i64]| {
        let mask = |b: &[f32; 4]| {
            let size = [(b[3] - b[1]) as usize, (b[2] - b[0]) as usize];
            CroppedMask { origin: [b[0] as i64, b[1] as i64], size, bits: vec![1; size[0] * size[1]] }
        };
        Target { masks: Some(boxes.iter().map(mask).collect()), ..Target::new(boxes, labels) }
    };
    let first = target(&[[10.0, 12.0, 60.0, 70.0], [80.0, 30.0, 150.0, 110.0]], &[0, 2]);
    (images, vec![first, target(&[[20.0, 20.0, 52.0, 50.0]], &[1])])
}

#[test]
fn every_backbone_serves_every_head() {
    tch::set_num_threads(1);
    for (name, head) in registry::names().into_iter().flat_map(|name| heads().into_iter().map(move |head| (name, head))) {
        let mut detector = build(name, &head);
        let (images, targets) = batch();
        let backbone = detector.backbone();
        let pyramid = tch::no_grad(|| backbone.forward(&mut Eager::eval(), &images.pixels));
        assert_eq!(pyramid.len(), backbone.fpn.levels().len());
        for (tap, map) in backbone.body.taps().iter().zip(&pyramid) {
            let expected = [2, CHANNELS, SIZE[0] / tap.stride, SIZE[1] / tap.stride];
            assert_eq!(map.size(), expected, "{name} C{}", tap.level);
        }

        let losses = detector.losses(&mut Eager::train(), &images, &targets);
        losses.total().backward();
        let (mut all, mut zero) = (0, vec![]);
        for entry in detector.named_tensors().into_iter().filter(|e| e.role == Role::Parameter) {
            let gradient = entry.tensor.grad();
            assert!(gradient.defined(), "{name}: {} gets no gradient", entry.name);
            let largest = gradient.abs().max().double_value(&[]);
            assert!(largest.is_finite(), "{name}: the gradient of {} is {largest}", entry.name);
            all += 1;
            if largest == 0.0 {
                zero.push(entry.name);
            }
        }
        assert!(zero.is_empty(), "{name} under {head:?}: {} of {all} parameters are not reached: {zero:?}", zero.len());

        let run = |d: &Detector| tch::no_grad(|| d.backbone().forward(&mut Eager::eval(), &images.pixels));
        let before = run(&detector);
        detector.fuse(FuseLevel::All);
        for (a, b) in before.iter().zip(&run(&detector)) {
            let (difference, largest) = ((a - b).abs().max().double_value(&[]), a.abs().max().double_value(&[]));
            assert!(difference <= 1e-4 * largest.max(1.0), "{name}: folding changes {largest} by {difference}");
        }
    }
}
