//! A loss that takes its gradient at once, part by part, so that activations of one part at a time are held.
//!
//! The mask head is the widest place of the network: each foreground region holds two and a half megabytes of activations from its
//! forward until its backward, and an image with many objects has up to 128 such regions. But the loss is a sum over regions, and its
//! backward needs nothing from the rest of the graph except the factor in front of it. So each part's backward can run right after its
//! forward. What is kept is the gradient of the pooled features and of the head's parameters; when the graph's own backward arrives,
//! they are multiplied by the incoming factor. Nothing is computed twice, and the result is the same.

use repghost_kernels::custom_op::with_backward;
use tch::{Kind, Tensor};

/// The sum of `loss(part, start)` over parts of `x` (`[n, …]`, at most `rows` of them at a time; `start` is a part's first row), with
/// gradients to `x` and `parameters`. `loss` must depend on all of `parameters` and on no other parameter.
pub(super) fn chunked_loss(
    x: &Tensor,
    rows: i64,
    parameters: Vec<Tensor>,
    mut loss: impl FnMut(&Tensor, i64) -> Tensor,
) -> Tensor {
    let n = x.size()[0];
    let mut total = Tensor::zeros([], (Kind::Float, x.device()));
    let mut x_grads: Vec<Tensor> = Vec::new();
    let mut sums: Vec<Tensor> = Vec::new();
    for start in (0..n).step_by(rows.max(1) as usize) {
        let part = x.narrow(0, start, rows.max(1).min(n - start)).detach().set_requires_grad(true);
        let value = loss(&part, start);
        // Without gradient tracking (a validation loss) there is no backward.
        if value.requires_grad() {
            let inputs: Vec<&Tensor> = std::iter::once(&part).chain(&parameters).collect();
            let mut grads = Tensor::run_backward(&[&value], &inputs, false, false).into_iter();
            x_grads.extend(grads.next());
            match sums.is_empty() {
                true => sums.extend(grads),
                false => sums.iter_mut().zip(grads).for_each(|(s, g)| *s += g),
            }
        }
        total += value.detach().to_kind(Kind::Float);
    }
    if x_grads.is_empty() {
        return total;
    }
    let grads: Vec<Tensor> = std::iter::once(Tensor::cat(&x_grads, 0)).chain(sums).collect();
    let inputs: Vec<&Tensor> = std::iter::once(x).chain(&parameters).collect();
    with_backward(total, &inputs, move |factor| grads.iter().map(|g| g * factor.to_kind(g.kind())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(t: &Tensor) -> Vec<f32> {
        Vec::<f32>::try_from(t.reshape([-1])).unwrap()
    }

    /// sum of w x^2 over five rows in parts of two, times 3: gradients are 6 w x and 3 sum of x^2.
    #[test]
    fn gradients_are_those_of_the_whole() {
        let base = Tensor::from_slice(&[1.0f32, 2.0, 3.0, 4.0, 5.0]).set_requires_grad(true);
        let w = Tensor::from_slice(&[2.0f32]).set_requires_grad(true);
        let mut starts = Vec::new();
        let x = &base * 1.0;
        let loss = chunked_loss(&x, 2, vec![w.shallow_clone()], |part, start| {
            starts.push((start, part.size()[0]));
            (part * part * &w).sum(Kind::Float)
        });
        assert_eq!(starts, [(0, 2), (2, 2), (4, 1)]);
        assert_eq!(loss.double_value(&[]), 110.0);
        assert!(!w.grad().defined(), "nothing arrives before the backward");
        (loss * 3.0).backward();
        assert_eq!(values(&base.grad()), [12.0, 24.0, 36.0, 48.0, 60.0]);
        assert_eq!(values(&w.grad()), [165.0]);
    }

    #[test]
    fn without_gradients_it_is_a_sum() {
        let x = Tensor::from_slice(&[1.0f32, 2.0, 3.0]).set_requires_grad(true);
        let loss = tch::no_grad(|| chunked_loss(&x, 2, Vec::new(), |part, _| part.sum(Kind::Float)));
        assert_eq!((loss.double_value(&[]), loss.requires_grad()), (6.0, false));
    }
}
