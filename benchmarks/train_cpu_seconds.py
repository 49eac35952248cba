"""CPU seconds of our training against a plain torch loop over the same model, in one run.

    python benchmarks/train_cpu_seconds.py --text shakespeare.txt --steps 300 --repeats 3

Both read the same text (first 90 % train, the rest validates), take one token per character,
build the same model (4 layers, 4 heads, 128 wide, context 64, batch 12), train it with fused AdamW,
clipping and a cosine schedule, validate on as many windows and save the weights. They alternate,
and which goes first changes each time. One JSON line comes out: `loop_ratio` compares the
training stage alone, `whole_ratio` everything from text to saved model. With `--steps 2000
--repeats 1` the validation losses are those of nanoGPT's processor recipe (1.88 published).
"""

import argparse
import json
import math
import random
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch.nn import functional
from transformers import AutoConfig, AutoModelForCausalLM

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from workers.lm.compute.threads import use_threads
from workers.lm.families.presets import PRESETS
from workers.lm.training.run import train
from workers.lm.training.spec import TrainSpec

CONTEXT, BATCH, EVALUATION_BATCHES = 64, 12, 20
RATE, LOWEST_RATE, WARMUP = 1e-3, 1e-4, 100


@dataclass(frozen=True)
class Measured:
    """CPU seconds of the training stage and of everything, and the loss reached."""

    loop: float
    whole: float
    loss: float


class Stages:
    """Events that note the CPU time at which each stage begins."""

    def __init__(self) -> None:
        self.began: dict[str, float] = {}

    def log(self, text: str, level: str = "info") -> None: ...

    def metric(self, step: int, values: dict[str, float]) -> None: ...

    def progress(self, *, stage: str, **_: Any) -> None:
        self.began.setdefault(stage, time.process_time())

    def checkpoint(self, **_: Any) -> None: ...

    def sample(self, **_: Any) -> None: ...

    def should_stop(self) -> bool:
        return False


def ours(train_text: str, validation_text: str, steps: int, folder: Path) -> Measured:
    """The product's own call, from documents on disk to a model folder."""
    files = []
    for name, text in (("train", train_text), ("validation", validation_text)):
        files.append(folder / f"{name}.jsonl")
        files[-1].write_text(json.dumps({"text": text}) + "\n")
    spec = TrainSpec(
        preset="nanogpt-cpu", tokenizer="char", vocab_size=4096, sequence_length=CONTEXT,
        batch_size=BATCH, steps=steps, learning_rate=RATE, min_learning_rate=LOWEST_RATE,
        warmup_steps=min(WARMUP, steps // 2), evaluate_every=0, checkpoint_every=0,
        evaluation_batches=EVALUATION_BATCHES, log_every=10, threads=torch.get_num_threads(),
    )  # fmt: skip
    events = Stages()
    start = time.process_time()
    result = train(
        spec, files[:1], files[1:], folder / "work", folder / "ck", folder / "out", events
    )
    end = time.process_time()
    return Measured(
        events.began["saving"] - events.began["training"], end - start, result.validation_loss
    )


def plain_torch_loop(train_text: str, validation_text: str, steps: int, folder: Path) -> Measured:
    """What one writes in a notebook: nothing but the work itself."""
    start = time.process_time()
    characters = sorted(set(train_text))
    number = {character: index for index, character in enumerate(characters)}
    data = torch.tensor([number[character] for character in train_text])
    held_out = torch.tensor([number.get(character, 0) for character in validation_text])
    config = {**PRESETS["nanogpt-cpu"].config(), "vocab_size": len(characters)}
    torch.manual_seed(1337)
    model = AutoModelForCausalLM.from_config(
        AutoConfig.for_model(
            **config,
            bos_token_id=0,
            eos_token_id=0,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
        )
    )
    decayed = [weight for weight in model.parameters() if weight.dim() >= 2]
    others = [weight for weight in model.parameters() if weight.dim() < 2]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}],
        lr=RATE, betas=(0.9, 0.99), fused=True,
    )  # fmt: skip
    warmup = min(WARMUP, steps // 2)

    def draw(source: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        starts = torch.randint(len(source) - CONTEXT, (BATCH,))
        rows = torch.stack([source[place : place + CONTEXT + 1] for place in starts])
        return rows[:, :-1], rows[:, 1:]

    def loss_of(inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        scores = model(input_ids=inputs, use_cache=False).logits
        return functional.cross_entropy(scores.flatten(0, 1), targets.flatten())

    model.train()
    loop_start = time.process_time()
    for step in range(steps):
        share = (step - warmup) / max(1, steps - warmup)
        rate = LOWEST_RATE + 0.5 * (1 + math.cos(math.pi * share)) * (RATE - LOWEST_RATE)
        for group in optimizer.param_groups:
            group["lr"] = RATE * (step + 1) / (warmup + 1) if step < warmup else rate
        loss = loss_of(*draw(data))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if step % 10 == 9:
            loss.item()
    model.eval()
    with torch.no_grad():
        losses = [float(loss_of(*draw(held_out))) for _ in range(EVALUATION_BATCHES)]
    loop_end = time.process_time()
    save_file(dict(model.named_parameters()), folder / "model.safetensors")
    return Measured(loop_end - loop_start, time.process_time() - start, statistics.fmean(losses))


def made_up_text(characters: int = 400_000) -> str:
    """Words drawn with falling frequency, for machines without a text at hand."""
    source = random.Random(0)
    letters = "etaoinshrdlucmwfgypbvkjxqz"
    words = ["".join(source.choices(letters, k=source.randrange(2, 9))) for _ in range(500)]
    weights = [1 / rank for rank in range(1, 501)]
    text = " ".join(source.choices(words, weights, k=characters // 5))
    return text[:characters]


def main() -> None:
    """Alternate both and print one line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--text", type=Path, help="a text file; made-up words if left out")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    text = options.text.read_text() if options.text else made_up_text()
    cut = len(text) * 9 // 10
    use_threads(options.threads)
    runs: dict[str, list[Measured]] = {"ours": [], "plain": []}
    with tempfile.TemporaryDirectory() as scratch:
        for name, run in (("ours", ours), ("plain", plain_torch_loop)):  # load what loads late
            folder = Path(scratch) / f"warm-{name}"
            folder.mkdir()
            run(text[:cut], text[cut:], 4, folder)
        for repeat in range(options.repeats):
            pair = [("ours", ours), ("plain", plain_torch_loop)]
            for name, run in pair if repeat % 2 == 0 else reversed(pair):
                folder = Path(scratch) / f"{name}-{repeat}"
                folder.mkdir()
                runs[name].append(run(text[:cut], text[cut:], options.steps, folder))
    print(json.dumps(_line(options, runs)))


def _line(options: argparse.Namespace, runs: dict[str, list[Measured]]) -> dict[str, Any]:
    def ratios(part: str) -> list[float]:
        both = zip(runs["ours"], runs["plain"], strict=True)
        return [getattr(mine, part) / getattr(plain, part) for mine, plain in both]

    def median(name: str, part: str) -> float:
        return round(statistics.median(getattr(one, part) for one in runs[name]), 3)

    return {
        "benchmark": "train_cpu_seconds",
        "baseline": "plain torch loop",
        "steps": options.steps,
        "repeats": options.repeats,
        "threads": options.threads,
        "loop_ratio": round(statistics.median(ratios("loop")), 4),
        "loop_ratios": [round(value, 4) for value in ratios("loop")],
        "whole_ratio": round(statistics.median(ratios("whole")), 4),
        "ours_loop_cpu_s": median("ours", "loop"),
        "plain_loop_cpu_s": median("plain", "loop"),
        "ours_whole_cpu_s": median("ours", "whole"),
        "plain_whole_cpu_s": median("plain", "whole"),
        "ours_validation_loss": median("ours", "loss"),
        "plain_validation_loss": median("plain", "loss"),
        "torch": torch.__version__,
    }


if __name__ == "__main__":
    main()
