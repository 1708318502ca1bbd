"""Federated averaging of what Inocula's nodes train: Flower's own strategy, and nothing around it."""

import numpy as np
from flwr.app import Array, ArrayRecord, Context
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

app = ServerApp()
client = ClientApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    config = context.run_config
    with np.load(config["initial"]) as first:
        arrays = ArrayRecord({name: Array(first[name]) for name in first.files})
    nodes = int(config["nodes"])
    strategy = FedAvg(min_train_nodes=nodes, min_evaluate_nodes=nodes, min_available_nodes=nodes)
    result = strategy.start(
        grid=grid,
        initial_arrays=arrays,
        num_rounds=int(config["rounds"]),
        timeout=float(config["timeout"]),
    )
    if config["final"]:
        last = {name: array.numpy() for name, array in result.arrays.items()}
        np.savez(config["final"], **last)
