//! Plain-Burn twins of the hot operations: any device, gradients by autodiff.

use burn::tensor::ops::{ConvOptions, MaxPoolOptions};
use burn::tensor::{DType, Device, Int, Tensor, TensorData, activation, module};

use super::lengths::upload;
use super::{
    Activation, AdamW, Affine, BatchStatistics, Convolution, Drawn, Dropout, Heads, Lengths,
    Lookup, Maps, Moments, Norm, RankedRows,
};
use retune_kernels::conv::Window;
use retune_kernels::dropout::mask;

/// Elements per block of a fixed-order sum: below the size from which Burn's CPU sum is split by
/// thread count.
const BLOCK: usize = 1 << 20;

/// See [`super::linear`].
pub fn linear(
    x: &Tensor<2>,
    parts: &[Affine],
    dropped: Option<&Tensor<2>>,
    activation: Activation,
) -> Tensor<2> {
    let one = |part: &Affine| {
        let y = x.clone().matmul(part.weight.clone().transpose()) + part.bias.clone().unsqueeze();
        let Some(l) = &part.low_rank else {
            return y;
        };
        let hidden = dropped
            .unwrap_or(x)
            .clone()
            .matmul(l.down.clone().transpose()); // [rows, rank]
        y + hidden.matmul(l.up.clone().transpose()) * l.scale
    };
    let y = match parts {
        [part] => one(part),
        parts => Tensor::cat(parts.iter().map(one).collect(), 1),
    }; // [rows, out]
    activate(y, activation)
}

fn activate(y: Tensor<2>, activation: Activation) -> Tensor<2> {
    match activation {
        Activation::None => y,
        Activation::Gelu => activation::gelu(y),
        Activation::GeluTanh => activation::gelu_approximate(y),
        Activation::Relu => activation::relu(y),
        Activation::Relu6 => y.clamp(0.0, 6.0),
        Activation::Sigmoid => activation::sigmoid(y),
        Activation::Silu => activation::silu(y),
        Activation::Tanh => y.tanh(),
    }
}

/// See [`super::convolution`].
pub fn convolution(x: &Maps, layer: Convolution, activation: Activation) -> Tensor<2> {
    let [outputs, ..] = layer.weight.dims();
    let [rows, columns] = layer.window.padding;
    let options = ConvOptions {
        stride: layer.window.stride,
        padding: [(rows[0], rows[1]), (columns[0], columns[1])],
        dilation: [1, 1],
        groups: layer.groups,
    };
    let y = module::conv2d(images(x), layer.weight, Some(layer.bias), options);
    let [pictures, _, height, width] = y.dims();
    let y = y.permute([0, 2, 3, 1]);
    activate(y.reshape([pictures * height * width, outputs]), activation) // [places, outputs]
}

/// See [`super::batch_norm`].
#[expect(
    clippy::disallowed_methods,
    reason = "statistics of a batch are read once per norm; the kernels have them on the host"
)]
pub fn batch_norm(
    x: Tensor<2>,
    norm: Norm,
    activation: Activation,
) -> (Tensor<2>, BatchStatistics) {
    let [rows, channels] = x.dims();
    let count = rows.max(1) as f64;
    let mean = x.clone().sum_dim(0) / count; // [1, channels]
    let apart = x - mean.clone();
    let variance = apart.clone().square().sum_dim(0) / count; // [1, channels]
    let host = |x: Tensor<2>| -> Vec<f32> {
        let data = x.into_data().convert::<f32>();
        data.try_to_vec().unwrap_or_default()
    };
    let unbiased = variance.clone() * (count / (count - 1.0).max(1.0));
    let found = BatchStatistics {
        mean: host(mean),
        variance: if rows > 1 {
            host(unbiased)
        } else {
            vec![1.0; channels]
        },
    };
    let scale = norm.gamma.unsqueeze() / (variance + norm.eps).sqrt(); // [1, channels]
    let y = activate(apart * scale + norm.beta.unsqueeze(), activation); // [rows, channels]
    (y, found)
}

/// Maps as Burn has them: `[pictures, channels, height, width]`.
fn images(x: &Maps) -> Tensor<4> {
    let [_, channels] = x.places.dims();
    let images = [x.pictures, x.height, x.width, channels];
    x.places.clone().reshape(images).permute([0, 3, 1, 2])
}

/// See [`super::max_pool`].
pub fn max_pool(x: &Maps, window: Window) -> Tensor<2> {
    let [rows, columns] = window.padding;
    let options = MaxPoolOptions::new(window.kernel)
        .with_stride(window.stride)
        .with_padding_pairs([(rows[0], rows[1]), (columns[0], columns[1])]);
    let y = module::max_pool2d(images(x), options);
    let [pictures, channels, height, width] = y.dims();
    let y = y.permute([0, 2, 3, 1]);
    y.reshape([pictures * height * width, channels]) // [places, channels]
}

/// See [`super::sum_relu`].
pub fn sum_relu(a: Tensor<2>, b: Tensor<2>) -> Tensor<2> {
    activation::relu(a + b)
}

/// See [`super::add_norm`].
pub fn add_norm(
    x: Tensor<2>,
    residual: Option<Tensor<2>>,
    norm: Norm,
    dropout: Option<(&Lengths, &Dropout)>,
) -> Tensor<2> {
    let x = match dropout {
        Some((lengths, rate)) if !rate.off() => self::dropout(x, lengths, rate),
        _ => x,
    };
    let x = match residual {
        Some(residual) => x + residual,
        None => x,
    };
    module::layer_norm(x, norm.gamma, Some(norm.beta), norm.eps)
}

/// See [`super::embedding`].
pub fn embedding(lookups: &[Lookup<'_>]) -> Tensor<2> {
    let rows = lookups.iter().map(|lookup| {
        let table = lookup.table.val();
        let ids: Vec<i64> = lookup.ids.iter().map(|id| i64::from(*id)).collect();
        let ids = TensorData::new(ids, [lookup.ids.len()]);
        let ids = Tensor::<1, Int>::from_data(ids, &table.device());
        table.select(0, ids) // [tokens, width]
    });
    rows.reduce(|sum, rows| sum + rows)
        .unwrap_or_else(|| unreachable!("no tables"))
}

/// See [`super::dropout`].
pub fn dropout(x: Tensor<2>, lengths: &Lengths, dropout: &Dropout) -> Tensor<2> {
    let [tokens, width] = x.dims();
    let places = lengths.places();
    let keys = &dropout.keys;
    let values = mask(tokens, width, dropout.p, dropout.stream, |i| {
        let (sequence, place) = places[i];
        (keys[sequence as usize], u64::from(place))
    });
    let device = x.device();
    x * upload(values, [tokens, width], &device)
}

/// See [`super::attention`]: gathers to `[sequences, heads, longest, size]` with a mask, and scatters back.
pub fn attention(qkv: Tensor<2>, lengths: &Lengths, heads: Heads, dropout: &Dropout) -> Tensor<2> {
    let device = qkv.device();
    let padded = lengths.padded(&device);
    let (sequences, longest) = (lengths.host().len(), padded.longest);
    let slots = qkv.select(0, padded.gather.clone()); // [sequences * longest, width]
    let split = |first: usize, count: usize| -> Tensor<4> {
        let columns = slots
            .clone()
            .narrow(1, first * heads.size, count * heads.size);
        let x: Tensor<4> = columns
            .reshape([sequences, longest, count, heads.size])
            .swap_dims(1, 2); // [sequences, count, longest, size]
        match heads.heads / count {
            1 => x,
            group => x
                .reshape([sequences, count, 1, longest * heads.size])
                .repeat_dim(2, group)
                .reshape([sequences, heads.heads, longest, heads.size]),
        }
    };
    let q = split(0, heads.heads);
    let k = split(heads.heads, heads.kv_heads);
    let v = split(heads.heads + heads.kv_heads, heads.kv_heads);
    let scale = 1.0 / (heads.size as f64).sqrt();
    let scores = (q * scale).matmul(k.swap_dims(2, 3)); // [sequences, heads, longest, longest]
    let mut scores = scores + padded.mask.clone();
    if heads.causal {
        scores = scores + future(longest, &device);
    }
    let p = drop_probabilities(activation::softmax(scores, 3), dropout);
    p.matmul(v) // [sequences, heads, longest, size]
        .swap_dims(1, 2)
        .reshape([sequences * longest, heads.out_width()])
        .select(0, padded.scatter.clone()) // [tokens, width]
}

/// Added to scores, `[1, 1, queries, keys]`: minus infinity where the key comes after the query.
fn future(longest: usize, device: &Device) -> Tensor<4> {
    let value = |i: usize| {
        let (query, key) = (i / longest, i % longest);
        if key > query { f32::NEG_INFINITY } else { 0.0 }
    };
    let values = (0..longest * longest).map(value).collect();
    upload(values, [1, 1, longest, longest], device)
}

fn drop_probabilities(p: Tensor<4>, dropout: &Dropout) -> Tensor<4> {
    if dropout.off() {
        return p;
    }
    let [sequences, heads, queries, keys] = p.dims();
    let per_sequence = heads * queries;
    let values = mask(
        sequences * per_sequence,
        keys,
        dropout.p,
        dropout.stream,
        |row| {
            let (sequence, rest) = (row / per_sequence, row % per_sequence);
            let (head, query) = (rest / queries, rest % queries);
            // The place must not depend on how long the batch's longest sequence is.
            let place = ((head as u64) << 32) | query as u64;
            (dropout.keys[sequence], place)
        },
    );
    let device = p.device();
    p * upload(values, [sequences, heads, queries, keys], &device)
}

/// See [`super::cross_entropy`].
pub fn cross_entropy(logits: Tensor<2>, targets: &[u32], weights: &[f32]) -> Tensor<1> {
    let [rows, classes] = logits.dims();
    let mut chosen = vec![0f32; rows * classes];
    for (row, (target, weight)) in targets.iter().zip(weights).enumerate() {
        chosen[row * classes + *target as usize] = *weight;
    }
    let chosen = upload(chosen, [rows, classes], &logits.device());
    -(activation::log_softmax(logits, 1) * chosen).sum()
}

/// See [`super::ranking_loss`].
pub fn ranking_loss(
    hidden: Tensor<2>,
    items: Tensor<2>,
    scale: Tensor<1>,
    rows: &RankedRows,
) -> Tensor<1> {
    let scores = hidden.matmul(items.transpose()) * scale.unsqueeze(); // [rows, items]
    cross_entropy(scores, &rows.targets, &rows.weights)
}

/// See [`super::sampled_ranking_loss`]: scores of the right item and of all drawn, side by side.
pub fn sampled_ranking_loss(
    hidden: Tensor<2>,
    drawn: Drawn,
    scale: Tensor<1>,
    rows: &RankedRows,
) -> Tensor<1> {
    // Not minus infinity, whose product with a weight of 0 would be NaN.
    let hit = |(target, id): (&u32, &u32)| if target == id { -1e30 } else { 0.0 };
    let each = rows.targets.iter();
    let hits = each.flat_map(|target| drawn.ids.iter().map(move |id| hit((target, id))));
    let hits = upload(
        hits.collect(),
        [rows.targets.len(), drawn.ids.len()],
        &hidden.device(),
    );
    let scale: Tensor<2> = scale.unsqueeze(); // [1, 1]
    let own = (hidden.clone() * drawn.positives).sum_dim(1) * scale.clone(); // [rows, 1]
    let others = hidden.matmul(drawn.negatives.transpose()) * scale + hits; // [rows, drawn]
    let scores = Tensor::cat(vec![own, others], 1); // [rows, 1 + drawn]
    cross_entropy(scores, &vec![0; rows.targets.len()], &rows.weights)
}

/// See [`super::scaled_for_members`].
pub fn scaled_for_members(weight: Tensor<2>, scales: Tensor<2>) -> Tensor<2> {
    let ([out, input], [members, _]) = (weight.dims(), scales.dims());
    let weight = weight.reshape([1, out, input]) * scales.reshape([members, 1, input]); // [members, out, in]
    weight.reshape([members * out, input])
}

/// See [`super::member_outputs`].
pub fn member_outputs(x: Tensor<2>, weight: Tensor<3>, bias: Tensor<3>) -> Tensor<2> {
    let ([all, width], [members, _, outputs]) = (x.dims(), weight.dims());
    let x: Tensor<3> = x.cast(DType::F32).reshape([all / members, members, width]);
    let said = x.swap_dims(0, 1).matmul(weight) + bias; // [members, rows, outputs]
    said.swap_dims(0, 1).reshape([all, outputs])
}

/// See [`super::segment_mean_from`].
pub fn segment_mean_from(x: Tensor<2>, segments: &Lengths, front: usize) -> Tensor<2> {
    let device = x.device();
    segments.averaging(front, &device).matmul(x) // [segments, width]
}

/// See [`super::sum_of_squares`].
#[expect(
    clippy::disallowed_methods,
    reason = "the norm is read once per step, by the training loop"
)]
pub fn sum_of_squares(x: Tensor<1>) -> f64 {
    let [n] = x.dims();
    (0..n)
        .step_by(BLOCK)
        .map(|start| {
            let block = x.clone().narrow(0, start, BLOCK.min(n - start));
            let sum: f32 = (block.clone() * block).sum().into_scalar();
            f64::from(sum)
        })
        .sum()
}

/// See [`super::adamw`].
pub fn adamw(
    value: Tensor<1>,
    grad: Tensor<1>,
    moments: Moments,
    c: &AdamW,
) -> (Tensor<1>, Moments) {
    let grad = grad * c.grad_scale;
    let first = moments.first * c.beta1 + grad.clone() * (1.0 - c.beta1);
    let second = moments.second * c.beta2 + grad.clone() * grad * (1.0 - c.beta2);
    let correction1 = 1.0 - c.beta1.powf(c.step as f64);
    let correction2 = (1.0 - c.beta2.powf(c.step as f64)).sqrt();
    let denominator = second.clone().sqrt() * (1.0 / correction2) + c.eps;
    let value =
        value * (1.0 - c.lr * c.weight_decay) - first.clone() * (c.lr / correction1) / denominator;
    let seen = None;
    (
        value,
        Moments {
            first,
            second,
            seen,
        },
    )
}
