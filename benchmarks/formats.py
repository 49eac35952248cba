"""A model that was really trained, in every format: sizes, perplexity, agreement, llama.cpp.

`python benchmarks/formats.py [--steps 300] [--llama PYTHON] [--text FILE]` trains a Llama shape of
some million parameters on the project's own documents and source (or on FILE), converts it to
everything, and prints one JSON line for each; the baseline of every ratio is the fp32 source.
With `--llama` a Python that has llama-cpp-python answers the same prompts from each GGUF file.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.workers.lm.recording import Recorder, write_documents  # noqa: E402
from workers.lm.formats import FORMATS  # noqa: E402
from workers.lm.formats.convert import Work, convert  # noqa: E402
from workers.lm.formats.parity import GREEDY_TOKENS, PROMPTS, greedy  # noqa: E402
from workers.lm.formats.weights import TorchReader  # noqa: E402
from workers.lm.training.run import train  # noqa: E402
from workers.lm.training.spec import TrainSpec  # noqa: E402


def documents(text: Path | None) -> list[str]:
    """Paragraphs to train on, in an order of their own."""
    files = [text] if text else [*ROOT.glob("docs/**/*.md"), *ROOT.glob("*_app/**/*.py"),
                                 *ROOT.glob("workers/**/*.py")]  # fmt: skip
    found = [part for file in sorted(files) for part in file.read_text().split("\n\n") if part]
    joined = ["\n\n".join(found[start : start + 8]) for start in range(0, len(found), 8)]
    random.Random(1).shuffle(joined)
    return joined


def trained(folder: Path, text: Path | None, steps: int) -> tuple[Path, Path]:
    """The model folder, and the documents that were held out."""
    texts = documents(text)
    held = max(8, len(texts) // 10)
    data = write_documents(folder / "train.jsonl", texts[held:])
    rest = write_documents(folder / "validation.jsonl", texts[:held])
    spec = TrainSpec.from_dict(
        {
            "preset": "llama-5m", "tokenizer": "bpe", "vocab_size": 2048, "sequence_length": 128,
            "batch_size": 16, "steps": steps, "warmup_steps": 20, "learning_rate": 2e-3,
            "evaluate_every": 0, "checkpoint_every": 0, "threads": 1,
        }
    )  # fmt: skip
    out = folder / "model"
    train(spec, [str(data)], [str(rest)], folder / "work", folder / "saved", out, Recorder())
    return out, rest


def one(source: Path, rest: Path, out: Path, format: str, precision: str) -> dict:
    """Convert, and the figures of the report."""
    gate = vars(FORMATS[format].precision(precision).gate)
    report = convert(
        Work(
            format=format, precision=precision, source=source, out=out, documents=[rest],
            most_documents=100, limits=gate,
        ),
        Recorder(),
    )  # fmt: skip
    speed = report["tokens_per_cpu_second"]
    return {
        "benchmark": "formats", "format": format, "precision": precision,
        "parameters": report["size"]["parameters"], "passed": report["passed"],
        "bytes": report["size"]["output"], "ratio": round(report["size"]["ratio_fp32"], 4),
        "baseline": "the fp32 source",
        "perplexity": round(report["perplexity"]["output"], 4),
        "perplexity_source": round(report["perplexity"]["source"], 4),
        "perplexity_increase": round(report["perplexity"]["increase"], 6),
        "mean_divergence": float(f"{report['divergence']['mean']:.3g}"),
        "max_logit_error": float(f"{report['logits']['max_error']:.3g}"),
        "top1_agreement": round(report["top1_agreement"], 4),
        "greedy_agreement": round(report["greedy"]["agreement"], 4),
        "tokens_per_cpu_second": round(speed["output"]),
        "tokens_per_cpu_second_source": round(speed["source"]),
        "write_seconds": round(report["write_seconds"], 1), "engine": report["engine"]["output"],
    }  # fmt: skip


def in_llama(python: str, source: Path, file: Path) -> dict:
    """The same greedy answers from stock llama.cpp."""
    from workers.lm.families.transformer import load_model
    from workers.lm.tokenizers.saved import load_tokenizer

    backend = load_tokenizer(source).backend_tokenizer
    ids = [backend.encode(prompt, add_special_tokens=False).ids for prompt in PROMPTS]
    asked = {"model": str(file), "texts": list(PROMPTS), "ids": ids, "tokens": GREEDY_TOKENS}
    done = subprocess.run(
        [python, str(ROOT / "benchmarks" / "llama_greedy.py")], input=json.dumps(asked),
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    said = json.loads(done.stdout.splitlines()[-1])
    reader = TorchReader(load_model(source))
    ours = [greedy(reader, prompt, GREEDY_TOKENS, 128) for prompt in ids]
    pairs = [
        (a, b) for x, y in zip(ours, said["answers"], strict=True)
        for a, b in zip(x, y, strict=True)
    ]  # fmt: skip
    return {
        "llama_cpp": said["version"],
        "llama_tokens_equal": said["tokenised"] == ids,
        "llama_greedy_agreement": round(sum(a == b for a, b in pairs) / len(pairs), 4),
        "llama_load_seconds": round(said["load_seconds"], 2),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--text", type=Path)
    parser.add_argument("--llama", default="")
    given = parser.parse_args()
    passed = True
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source, rest = trained(folder, given.text, given.steps)
        for row in FORMATS.values():
            for precision in row.precisions:
                if row.takes != "transformer" or row.unavailable():
                    continue
                out = folder / f"{row.name}-{precision.name}"
                line = one(source, rest, out, row.name, precision.name)
                if row.name == "gguf" and given.llama:
                    line |= in_llama(given.llama, source, out / "model.gguf")
                    passed &= line["llama_tokens_equal"]
                passed &= line["passed"]
                print(json.dumps(line), flush=True)
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
