//! The privacy of a training that a configuration file and flags describe together.
//!
//! Any of the flags makes a training private; each replaces what the file says.

use inocula_core::Result;
use inocula_core::data::DataSource;
use inocula_core::data::csv::Scale;
use inocula_core::train::{Clipping, TrainConfig};

use crate::args::PrivateFlags;

/// Changes the privacy of a training to what the flags say.
pub(super) fn configure(flags: &PrivateFlags, train: &mut TrainConfig) -> Result<()> {
    let PrivateFlags {
        dp_sigma,
        dp_epsilon,
        dp_delta,
        dp_clip,
        dp_clipping,
        dp_micro_batch,
        dp_seeded,
    } = flags;
    let silent = [dp_sigma, dp_epsilon, dp_delta, dp_clip].iter().all(|flag| flag.is_none())
        && dp_clipping.is_none()
        && dp_micro_batch.is_none()
        && !dp_seeded;
    if silent {
        return Ok(());
    }
    let mut private = train.private.take().unwrap_or_default();
    if dp_sigma.is_some() || dp_epsilon.is_some() {
        (private.noise_multiplier, private.epsilon) = (*dp_sigma, *dp_epsilon);
    }
    private.delta = dp_delta.unwrap_or(private.delta);
    let bound = dp_clip.unwrap_or(private.clipping.bound());
    match dp_clipping {
        // The constants of the file stay where the kind stays.
        Some(name) if name != private.clipping.name() => {
            private.clipping = Clipping::named(name, bound)?;
        }
        _ => private.clipping.set_bound(bound),
    }
    private.micro_batch = dp_micro_batch.or(private.micro_batch);
    private.seeded |= dp_seeded;
    train.private = Some(private);
    Ok(())
}

/// What a reader has to know of how the data were read before believing an epsilon: a guarantee for
/// samples of the data begins with samples that do not depend on each other.
pub(super) fn scaled_by_the_data(data: &DataSource) -> Option<String> {
    match data {
        DataSource::Csv(table) if table.scale == Scale::Minmax => Some(format!(
            "the range that each column of {} was scaled by was learnt from the data, where one sample \
             can decide it for all others: epsilon does not cover that; scale the columns by ranges that \
             are public, and set scale = \"none\" and bounds in [data]",
            table.path.display()
        )),
        _ => None,
    }
}
