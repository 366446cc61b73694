//! What adds the gradients of cards: `train.distributed.engine`.

use repghost_backbone::Tree;
use repghost_distributed::{Card, Engine, Group, Nccl};
use repghost_kernels::device::driver::driver;
use tch::Device;

use crate::config::DistributedEngine;
use crate::error::TrainError;

const KEY: &str = "train.distributed.engine";

/// Lets NCCL add gradients where it is wanted and possible. Returns a line for the user where a network is on a card.
pub(crate) fn choose(group: &Group, wanted: DistributedEngine, network: &dyn Tree) -> Result<Option<String>, TrainError> {
    let device = network.named_tensors().first().map_or(Device::Cpu, |entry| entry.tensor.device());
    let by_gloo = |reason: &str| (device != Device::Cpu).then(|| format!("gradients go through main memory (gloo): {reason}"));
    if wanted == DistributedEngine::Gloo {
        return Ok(by_gloo(&format!("{KEY} is gloo")));
    }
    match (group.use_nccl(seat(device))?, wanted) {
        (Engine::Nccl(version), _) => Ok(Some(format!("gradients are added on the cards (NCCL {version})"))),
        (Engine::Gloo(reason), DistributedEngine::Nccl) => {
            Err(TrainError::setting(KEY, format!("is nccl, but {reason}; expected auto, which takes what there is")))
        }
        (Engine::Gloo(reason), _) => Ok(by_gloo(&reason)),
    }
}

/// This process's card and NCCL, or why it has none.
fn seat(device: Device) -> Result<(Card, Nccl), String> {
    let Device::Cuda(number) = device else { return Err("computes on the CPU".into()) };
    let cards = driver().map_err(|why| format!("cannot tell which card it has ({why})"))?.cards;
    let identity = cards.get(number).map(|card| card.uuid.clone()).ok_or("cannot tell which card it has")?;
    let nccl = Nccl::open().map_err(|why| format!("has no NCCL ({why})"))?;
    Ok((Card { number, identity }, nccl))
}
