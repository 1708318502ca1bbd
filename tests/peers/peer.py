"""Measures one of the tools that Inocula is compared with: `peer.py NAME --inputs FILE`."""

import argparse
import importlib
import json
import warnings

PEERS = ["pytorch", "torchattacks", "foolbox", "art", "opacus", "opacus_ghost"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=PEERS)
    parser.add_argument("--inputs", required=True)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    try:
        import torch

        torch.set_num_threads(args.threads)
        import protocol
        from inputs import Inputs

        peer = importlib.import_module(f"with_{args.name}")
        inputs = Inputs(args.inputs)
    except Exception as error:  # what cannot be loaded is told in the way of the protocol
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}), flush=True)
        raise SystemExit(1) from None
    hello = {
        "name": args.name,
        "version": peer.VERSION,
        "device": "cpu",
        "threads": torch.get_num_threads(),
    }
    protocol.serve(hello, peer.ROWS, inputs)


if __name__ == "__main__":
    main()
