//! Batch norm with frozen statistics: a factor and an addend per channel, folded into the convolution before it.

use super::check;

/// A batch norm whose statistics do not change, all `[channels]`.
#[derive(Debug, Clone, Copy)]
pub struct Frozen<'a> {
    /// Factor of each channel.
    pub gamma: &'a [f32],
    /// Added to each channel.
    pub beta: &'a [f32],
    /// Running mean.
    pub mean: &'a [f32],
    /// Running variance.
    pub var: &'a [f32],
    /// Added to the variance.
    pub eps: f32,
}

/// Where a weight has the channels of the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// First, as [`super::Conv`]: `[channels, ..]`.
    First,
    /// Last, as [`super::Depthwise`]: `[.., channels]`.
    Last,
}

impl Channel {
    /// Calls `f` with the channel of each value of a weight and its place.
    fn each(self, values: usize, channels: usize, mut f: impl FnMut(usize, usize)) {
        let rows = values / channels.max(1);
        for at in 0..values {
            let channel = match self {
                Channel::First => at / rows,
                Channel::Last => at % channels,
            };
            f(channel, at);
        }
    }
}

impl Frozen<'_> {
    /// `1 / sqrt(var + eps)` of a channel.
    fn inv_std(&self, channel: usize) -> f32 {
        1.0 / (self.var[channel] + self.eps).sqrt()
    }

    /// The batch norm as `x * scale + shift`, both `[channels]`.
    ///
    /// # Panics
    /// When a length is wrong.
    pub fn scale_and_shift(&self, scale: &mut [f32], shift: &mut [f32]) {
        self.check(scale.len());
        check("shift", shift.len(), scale.len());
        for (i, (scale, shift)) in scale.iter_mut().zip(shift).enumerate() {
            *scale = self.gamma[i] * self.inv_std(i);
            *shift = self.beta[i] - self.mean[i] * *scale;
        }
    }

    /// Weight and bias of the convolution that gives what a convolution with this weight (and no bias) and the batch
    /// norm give.
    ///
    /// # Panics
    /// When a length is wrong.
    pub fn fold(&self, channel: Channel, weight: &[f32], folded: &mut [f32], bias: &mut [f32]) {
        let mut scale = vec![0.0; bias.len()];
        self.scale_and_shift(&mut scale, bias);
        self.check_weight(weight.len());
        check("the folded weight", folded.len(), weight.len());
        channel.each(weight.len(), scale.len(), |channel, at| {
            folded[at] = weight[at] * scale[channel];
        });
    }

    /// The gradients of weight and gamma, from those of the folded weight (`dweight`, replaced by the gradient of
    /// `weight`) and of the bias, which is that of beta, too.
    ///
    /// # Panics
    /// When a length is wrong.
    pub fn unfold(
        &self,
        channel: Channel,
        weight: &[f32],
        dweight: &mut [f32],
        dbias: &[f32],
        dgamma: &mut [f32],
    ) {
        let channels = dgamma.len();
        self.check(channels);
        self.check_weight(weight.len());
        check("dbias", dbias.len(), channels);
        check("dweight", dweight.len(), weight.len());
        let inv_std: Vec<f32> = (0..channels).map(|i| self.inv_std(i)).collect();
        // In f64, since the mean's part may cancel most of it.
        let mut sums = vec![0f64; channels];
        channel.each(weight.len(), channels, |channel, at| {
            sums[channel] += f64::from(weight[at]) * f64::from(dweight[at]);
            dweight[at] *= self.gamma[channel] * inv_std[channel];
        });
        for (i, dgamma) in dgamma.iter_mut().enumerate() {
            let level = f64::from(self.mean[i]) * f64::from(dbias[i]);
            *dgamma = ((sums[i] - level) * f64::from(inv_std[i])) as f32;
        }
    }

    #[track_caller]
    fn check(&self, channels: usize) {
        let parts = [self.gamma, self.beta, self.mean, self.var];
        for (what, part) in ["gamma", "beta", "the mean", "the variance"]
            .iter()
            .zip(parts)
        {
            check(what, part.len(), channels);
        }
    }

    /// Asserts that a weight has whole channels.
    #[track_caller]
    fn check_weight(&self, values: usize) {
        let rows = values.checked_div(self.gamma.len()).unwrap_or(0);
        check("the weight", values, rows * self.gamma.len());
    }
}

#[cfg(test)]
mod tests;
