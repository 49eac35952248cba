"""Greedy answers of stock llama.cpp: run by `formats.py` with a Python that has llama-cpp-python.

Reads `{"model": path, "texts": [...], "ids": [[...]], "tokens": n}` from standard input and prints
one JSON object: what the file's own tokenizer makes of the texts, the answers to the ids, seconds.
"""

import json
import sys
import time

import llama_cpp


def main() -> None:
    asked = json.load(sys.stdin)
    defaults = llama_cpp.llama_model_default_params

    def plain():
        # Repacked weights crash on machines that announce AMX and do not let it be used.
        params = defaults()
        params.use_extra_bufts = False
        return params

    llama_cpp.llama_cpp.llama_model_default_params = plain
    begun = time.perf_counter()
    llama = llama_cpp.Llama(
        asked["model"], n_ctx=0, n_threads=1, n_threads_batch=1, logits_all=True, verbose=False
    )
    loaded = time.perf_counter() - begun
    tokenised = [
        llama.tokenize(text.encode(), add_bos=False, special=False) for text in asked["texts"]
    ]
    answers, cpu = [], time.process_time()
    for ids in asked["ids"]:
        llama.reset()
        llama.eval(ids)
        answer = []
        for _ in range(asked["tokens"]):
            answer.append(int(llama.scores[llama.n_tokens - 1].argmax()))
            llama.eval(answer[-1:])
        answers.append(answer)
    cpu = time.process_time() - cpu
    print(
        json.dumps(
            {
                "version": llama_cpp.__version__, "load_seconds": loaded, "tokenised": tokenised,
                "answers": answers, "tokens_per_cpu_second": sum(map(len, answers)) / cpu,
            }
        )
    )  # fmt: skip


if __name__ == "__main__":
    main()
