//! What adds the tensors of cards: NCCL where every process has a card of its own, else gloo by way of main memory.

use tch::Tensor;

use crate::error::DistributedError;
use crate::group::Group;
use crate::nccl::{Collective, Communicator, Nccl, UniqueId};

/// The store's key of the first process on which NCCL did not start.
const REFUSED: &str = "nccl";

/// A process's card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    /// Its number in this process.
    pub number: usize,
    /// What no other card has, on any machine: its UUID.
    pub identity: String,
}

/// What adds the tensors of cards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Engine {
    /// NCCL, of this version.
    Nccl(String),
    /// gloo, and why.
    Gloo(String),
}

impl Group {
    /// Lets NCCL add the tensors of cards where that is possible: every process has it, and a card of its own. Each calls it once, with its card and
    /// the library, or why it has none ("computes on the CPU"); all get the same answer.
    ///
    /// # Errors
    /// As [`Group::all_reduce`].
    pub fn use_nccl(&self, own: Result<(Card, Nccl), String>) -> Result<Engine, DistributedError> {
        let seat = match &own {
            Ok((card, nccl)) => format!("+{}\n{}", nccl.version(), card.identity),
            Err(why) => format!("-{why}"),
        };
        if let Some(reason) = hindrance(&self.texts(&seat)?) {
            return Ok(Engine::Gloo(reason));
        }
        let Ok((card, nccl)) = own else { return Ok(Engine::Gloo("a process has no card".into())) };
        let id = if self.is_first() { Some(nccl.unique_id()) } else { None };
        let sent = match &id {
            Some(Ok(id)) => [b"+", id.0.as_slice()].concat(),
            Some(Err(error)) => format!("-{error}").into_bytes(),
            None => vec![],
        };
        let sent = self.gather(&sent)?.swap_remove(0);
        let id = match sent.split_first() {
            Some((b'+', id)) => <[u8; 128]>::try_from(id).map(UniqueId).map_err(|_| "an id of another size".to_string()),
            Some((_, error)) => Err(String::from_utf8_lossy(error).into_owned()),
            None => Err("no id".into()),
        };
        let id = match id {
            Ok(id) => id,
            Err(error) => return Ok(Engine::Gloo(format!("it does not start on rank 0 ({error})"))),
        };
        let version = nccl.version().to_string();
        let look = || match self.left(REFUSED) {
            None => Ok(()),
            Some(_) => Err(String::new()),
        };
        let started = Communicator::start(nccl, id, [self.rank(), self.size()], card.number, self.timeout(), &look);
        let error = started.as_ref().err().cloned();
        if error.is_some() {
            self.leave(REFUSED, "1");
        }
        // An empty text is that of a process that gave up for another one.
        let ends = self.texts(&error.map_or("+".into(), |error| format!("-{error}")))?;
        let refused = ends.iter().enumerate().filter_map(|(rank, end)| end.strip_prefix('-').map(|e| (rank, e)));
        match refused.max_by_key(|(rank, error)| (!error.is_empty(), std::cmp::Reverse(*rank))) {
            Some((rank, error)) => Ok(Engine::Gloo(format!("it does not start on rank {rank} ({error})"))),
            None => {
                if let Ok(communicator) = started {
                    self.set_cards(communicator);
                }
                Ok(Engine::Nccl(version))
            }
        }
    }

    fn texts(&self, own: &str) -> Result<Vec<String>, DistributedError> {
        let all = self.gather(own.as_bytes())?;
        Ok(all.iter().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect())
    }

    /// Does it for the tensors that NCCL takes and returns the others. The host waits in the control group first: there a process that has died or
    /// left a cause is found at once, which the card could not notice.
    pub(crate) fn on_cards(&self, tensors: &[Tensor], what: Collective) -> Result<Vec<Tensor>, DistributedError> {
        let Some(cards) = self.cards() else { return Ok(tensors.iter().map(Tensor::shallow_clone).collect()) };
        let _off = tch::no_grad_guard();
        let (on_cards, others): (Vec<Tensor>, Vec<Tensor>) = tensors.iter().map(Tensor::detach).partition(|t| cards.takes(t));
        if on_cards.is_empty() {
            return Ok(others);
        }
        let dense: Vec<Tensor> = on_cards.iter().map(Tensor::contiguous).collect();
        let look = || self.failure().map_or(Ok(()), |(_, cause)| Err(cause));
        let done = cards.queue(&dense, what, &look).map_err(|reason| self.lost(reason));
        let done = done.and_then(|()| self.barrier()).inspect_err(|error| cards.fail(&error.to_string()));
        done.and_then(|()| cards.wait(&look).map_err(|reason| self.lost(reason)))?;
        for (mut to, from) in on_cards.into_iter().zip(dense) {
            if to.data_ptr() != from.data_ptr() {
                to.copy_(&from);
            }
        }
        Ok(others)
    }
}

/// Why NCCL cannot be used, by what each process has: version and card, or its reason.
fn hindrance(seats: &[String]) -> Option<String> {
    if let Some((rank, why)) = seats.iter().enumerate().find_map(|(rank, seat)| Some((rank, seat.strip_prefix('-')?))) {
        return Some(format!("rank {rank} {why}"));
    }
    let parts: Vec<(&str, &str)> = seats.iter().filter_map(|seat| seat.strip_prefix('+')?.split_once('\n')).collect();
    let first = parts.first()?;
    if let Some(other) = parts.iter().position(|(version, _)| *version != first.0) {
        return Some(format!("rank 0 has NCCL {}, rank {other} {}", first.0, parts[other].0));
    }
    let shared = |(rank, (_, card)): (usize, &(&str, &str))| {
        parts[..rank].iter().position(|(_, other)| other == card).map(|other| format!("ranks {other} and {rank} share a card"))
    };
    parts.iter().enumerate().find_map(shared)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hindrances() {
        let found = |seats: &[&str]| hindrance(&seats.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(found(&["+2.28.9\na", "+2.28.9\nb"]), None);
        assert_eq!(found(&["+2.28.9\na", "+2.28.9\nb", "+2.28.9\nb"]).unwrap(), "ranks 1 and 2 share a card");
        assert_eq!(found(&["+2.28.9\na", "+2.27.3\nb"]).unwrap(), "rank 0 has NCCL 2.28.9, rank 1 2.27.3");
        assert_eq!(found(&["+2.28.9\na", "-computes on the CPU"]).unwrap(), "rank 1 computes on the CPU");
    }
}
