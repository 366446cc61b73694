//! Several processes that train one network: what each takes of a batch, and how losses, gradients and measurements come together.
//!
//! Rules, so that N processes train what one would: the batch is cut into contiguous shares; a loss that is a mean over images or samples is
//! weighted by this process's part of all of them; gradients are then plain sums; random draws go by the number of an image in the whole
//! batch.

use std::sync::{Arc, Mutex, PoisonError};

use repghost_backbone::dropout::{self, Share};
use repghost_backbone::{sync_norm, Role, Tree};
use repghost_distributed::{Buckets, DistributedError, Group, Reducer};
use repghost_heads::Losses;
use serde::de::DeserializeOwned;
use serde::Serialize;
use tch::{Device, Tensor};

use crate::config::{Compress, TrainConfig};
use crate::error::TrainError;
use crate::optim::{Gradients, ParamSlot};

/// A process among those that train together.
#[derive(Clone, Debug)]
pub struct Together {
    /// The processes.
    pub group: Group,
    sync_norms: bool,
    buckets: Buckets,
    overlap: bool,
    /// Made for the parameters of the first step.
    reducer: Arc<Mutex<Option<Reducer>>>,
}

/// This process's share of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// Images of this process; 0 where they are a placeholder.
    pub own: usize,
    /// Where they are among all.
    pub share: Share,
}

impl Together {
    /// As an experiment's settings have it.
    pub fn new(group: Group, config: &TrainConfig) -> Self {
        let sync_norms = config.batch_norm.sync;
        let distributed = &config.distributed;
        let buckets = Buckets { bytes: distributed.bucket_mb << 20, bf16: distributed.compress == Compress::Bf16 };
        // Batch norms exchange within the backward too: all processes would have to interleave the same way.
        let overlap = distributed.overlap && !sync_norms && config.accumulate == 1;
        Self { group, sync_norms, buckets, overlap, reducer: Arc::default() }
    }

    /// Does something with the sums of gradients in main memory; `None` on a card.
    fn with_reducer<R>(
        &self,
        params: &[ParamSlot],
        f: impl FnOnce(&mut Reducer) -> Result<R, DistributedError>,
    ) -> Result<Option<R>, TrainError> {
        if params.iter().any(|p| p.tensor.device() != Device::Cpu) {
            return Ok(None);
        }
        let mut reducer = self.reducer.lock().unwrap_or_else(PoisonError::into_inner);
        if reducer.is_none() {
            let tensors: Vec<&Tensor> = params.iter().map(|p| &p.tensor).collect();
            *reducer = Some(Reducer::new(&self.group, &tensors, self.buckets)?);
        }
        Ok(reducer.as_mut().map(f).transpose()?)
    }

    /// Called between forward and backward: where it is asked for, gradients are sent as the backward finds them. (Not earlier: a mask head
    /// differentiates parts within the forward.)
    pub(crate) fn watch(&self, params: &[ParamSlot]) -> Result<(), TrainError> {
        if self.overlap {
            self.with_reducer(params, Reducer::watch)?;
        }
        Ok(())
    }

    /// Whether this process writes and prints.
    pub fn is_first(&self) -> bool {
        self.group.is_first()
    }

    /// The part of every batch that this process loads.
    pub(crate) fn share(&self) -> repghost_coco::Share {
        repghost_coco::Share { rank: self.group.rank(), size: self.group.size() }
    }

    /// The share of a batch of which this process has `own` images.
    pub(crate) fn part(&self, own: usize) -> Result<Part, TrainError> {
        let counts = self.group.each(own as f64)?;
        let sum = |counts: &[f64]| counts.iter().sum::<f64>() as usize;
        Ok(Part { own, share: Share { first: sum(&counts[..self.group.rank()]), images: sum(&counts) } })
    }

    /// Runs a forward on a share: dropout draws for the whole batch, and batch norms share their statistics where that is wanted.
    pub(crate) fn on_share<R>(&self, part: Part, forward: impl FnOnce() -> R) -> R {
        dropout::set_share(Some(part.share));
        if self.sync_norms {
            let group = self.group.clone();
            // What fails here fails again in the next call, which returns it.
            let reduce = Arc::new(move |t: &Tensor| drop(group.all_reduce(t)));
            sync_norm::set_shared(Some(sync_norm::Shared { reduce, weight: if part.own > 0 { 1.0 } else { 0.0 } }));
        }
        let result = forward();
        dropout::set_share(None);
        sync_norm::set_shared(None);
        result
    }

    /// Losses of a share, each times its part of the images or samples of all processes.
    pub(crate) fn weigh(&self, losses: Losses, part: Part) -> Result<Losses, TrainError> {
        let counts = part.own > 0;
        let own: Vec<f64> = losses.samples().iter().map(|n| n.filter(|_| counts).unwrap_or(0) as f64).collect();
        let mut all = own.clone();
        self.group.sum(&mut all)?;
        let factor = |((samples, own), all): ((&Option<usize>, &f64), &f64)| match samples {
            _ if !counts => 0.0,
            // Where there are no samples, 1 was divided by.
            Some(_) => own.max(1.0) / all.max(1.0),
            None => part.own as f64 / part.share.images.max(1) as f64,
        };
        let factors: Vec<f64> = losses.samples().iter().zip(&own).zip(&all).map(factor).collect();
        Ok(losses.weighted(&factors)?)
    }

    /// Sums of gradients. A parameter that the losses of some processes do not depend on has a gradient of zero there.
    pub(crate) fn sum(&self, gradients: Gradients, params: &[ParamSlot]) -> Result<Gradients, TrainError> {
        let mut there: Vec<f64> = gradients.0.iter().map(|g| f64::from(u8::from(g.is_some()))).collect();
        if let Some(sums) = self.with_reducer(params, |reducer| reducer.finish(&gradients.0))? {
            self.group.sum(&mut there)?;
            let kept = sums.into_iter().zip(&there).map(|(sum, there)| (*there > 0.0).then_some(sum));
            return Ok(Gradients(kept.collect()));
        }
        self.group.sum(&mut there)?;
        let dense: Vec<Option<Tensor>> = gradients
            .0
            .into_iter()
            .zip(&there)
            .zip(params)
            .map(|((g, there), param)| match (g, *there > 0.0) {
                (None, true) => Ok(Some(param.tensor.f_zeros_like()?.detach())),
                (g, _) => Ok::<_, TrainError>(g),
            })
            .collect::<Result<_, _>>()?;
        let list: Vec<Tensor> = dense.iter().flatten().map(Tensor::shallow_clone).collect();
        let mut sums = self.group.sums(&list)?.into_iter();
        Ok(Gradients(dense.into_iter().map(|g| g.and_then(|_| sums.next())).collect()))
    }

    /// Checks that all processes start from the same step and weights.
    pub(crate) fn same_network(&self, network: &dyn Tree, step: u64) -> Result<(), TrainError> {
        self.group.agree("the checkpoint's step", &step.to_string())?;
        // Initial weights are drawn by the seed alone, so any difference is one of files or versions.
        let sum: f64 = network.named_tensors().iter().map(|e| e.tensor.abs().sum(tch::Kind::Double).double_value(&[])).sum();
        Ok(self.group.agree("the sum of all weights", &format!("{sum:.9e}"))?)
    }

    /// Gives all processes the first one's buffers: running statistics.
    pub(crate) fn share_buffers(&self, network: &dyn Tree) -> Result<(), TrainError> {
        let buffers: Vec<Tensor> =
            network.named_tensors().into_iter().filter(|e| e.role == Role::Buffer).map(|e| e.tensor).collect();
        Ok(self.group.broadcast(&buffers, 0)?)
    }
}

/// The lists of all processes, one behind the other; `None` where one of them was interrupted and has none.
pub(crate) fn gathered<T: Serialize + DeserializeOwned>(
    group: &Group,
    own: Option<Vec<T>>,
) -> Result<Option<Vec<T>>, TrainError> {
    let json = |source| TrainError::Json { what: "a list for other processes", source };
    let lists = group.gather(&serde_json::to_vec(&own).map_err(json)?)?;
    let mut all = vec![];
    for list in lists {
        match serde_json::from_slice::<Option<Vec<T>>>(&list).map_err(json)? {
            Some(list) => all.extend(list),
            None => return Ok(None),
        }
    }
    Ok(Some(all))
}

/// A value of the first process on all of them; the others give `None`.
pub(crate) fn from_first<T: Serialize + DeserializeOwned>(group: &Group, value: Option<T>) -> Result<T, TrainError> {
    let json = |source| TrainError::Json { what: "a value for other processes", source };
    let bytes = if group.is_first() { serde_json::to_vec(&value).map_err(json)? } else { vec![] };
    let all = group.gather(&bytes)?;
    let value: Option<T> = serde_json::from_slice(&all[0]).map_err(json)?;
    value.ok_or(TrainError::NothingToTrain)
}
