"""What a node of two cores measured of itself: an edition of `workers.lm.compute.measuring`."""

from typing import Any

RATES: dict[str, Any] = {
    "products_gflops": {"64": 120.0, "128": 130.0, "256": 125.0, "512": 125.0, "1024": 125.0},
    "products_bf16_gflops": {"64": 250.0, "1024": 600.0},
    "attention_gflops": {"64x32": 35.0, "256x32": 60.0, "512x64": 75.0},
    "stream_gbps": 22.0,
    "memory_gbps": 6.0,
    "activation_meps": 160.0,
    "loss_meps": 140.0,
    "optimizer_gbps": 15.0,
    "operator_us": 12.0,
}
SPEED: dict[str, Any] = {
    "edition": 1,
    "import_s": 4.0,
    "cores": 2,
    "threads": {"1": RATES, "2": {**RATES, "products_gflops": {"64": 200.0, "1024": 240.0}}},
    "bf16_gain": {"cpu": {"128": 0.8, "512": 1.9}},
    "compile": {"cpu": {"seconds": 60.0, "layers": 2, "gain": 1.25}},
    "markov": {"ngram_units_per_s": 2e7, "hmm_states_per_s": 5e7},
    "watts": None,
}
