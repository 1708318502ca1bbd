//! `inocula import`: weights from elsewhere become a run that can be attacked and compared.

use inocula_core::model::Network;
use inocula_core::nn::load_params;
use inocula_core::{DType, Result};

use crate::args::Import;
use crate::config::RunConfig;
use crate::runs::{self, Metrics};
use crate::{backends, output};

pub(super) fn run(flags: &Import) -> Result<()> {
    let config = RunConfig::of(&flags.run)?;
    let device = backends::open(&config.backend)?;
    runs::prepare(&flags.run.out, "metrics.json", flags.run.force)?;
    let (train, test) = config.datasets()?;
    let spec = config.model.spec(&train)?;
    let params = load_params(&flags.weights, &spec, &device, DType::F32)?;
    let network = Network::new(spec, params, &device)?;
    let metrics = Metrics::of(&config, &network, &train, &test, None)?;
    runs::write(&flags.run.out, &config, &network, &metrics, None)?;
    output::line(format!(
        "{}: test accuracy {:.2} % with the weights of {}",
        metrics.dataset.name,
        100.0 * metrics.test.accuracy,
        flags.weights.display()
    ));
    output::line(format!("Written: {}", flags.run.out.display()));
    Ok(())
}
