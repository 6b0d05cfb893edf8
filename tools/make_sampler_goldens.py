#!/usr/bin/env python3
"""Writes tests/sample/goldens/sampler.json: what Hugging Face transformers' logits processors make
of random logits, as the final distribution, and PyTorch's log-softmax of the raw logits.

transformers has no frequency and presence penalty; those two follow OpenAI's formula in PyTorch.
Needs torch and transformers. Run from the repository root.
"""

import json
import random

import torch
from transformers.generation import logits_process as lp

VOCAB = 96
EOS = 7


def distribution(case, logits):
    p = case["params"]
    prompt, output = case["prompt"], case["output"]
    scores = logits.clone()[None]
    history = torch.tensor([prompt + output])
    generated = torch.tensor([output], dtype=torch.long)
    if p.get("allowed_token_ids"):
        mask = torch.full_like(scores, float("-inf"))
        mask[0, p["allowed_token_ids"]] = 0
        scores = scores + mask
    if p.get("bad_words"):
        # On the output alone: vLLM does not look for bad words across the prompt's end.
        fitting = [w for w in p["bad_words"] if len(w) - 1 <= len(output)]
        if fitting:
            scores = lp.NoBadWordsLogitsProcessor(fitting)(generated, scores)
    if p.get("min_tokens"):
        keep_going = lp.MinNewTokensLengthLogitsProcessor(len(prompt), p["min_tokens"], EOS)
        scores = keep_going(history, scores)
    if p.get("logit_bias"):
        scores = lp.SequenceBiasLogitsProcessor({(t,): b for t, b in p["logit_bias"]})(
            generated, scores
        )
    if p.get("repetition_penalty", 1.0) != 1.0:
        scores = lp.RepetitionPenaltyLogitsProcessor(p["repetition_penalty"])(history, scores)
    counts = torch.bincount(generated[0], minlength=VOCAB).float()
    scores = scores - p.get("frequency_penalty", 0.0) * counts
    scores = scores - p.get("presence_penalty", 0.0) * (counts > 0)
    scores = lp.TemperatureLogitsWarper(p["temperature"])(history, scores)
    if p.get("min_p", 0.0) > 0:
        scores = lp.MinPLogitsWarper(p["min_p"])(history, scores)
    if p.get("top_k", 0) > 0:
        scores = lp.TopKLogitsWarper(p["top_k"])(history, scores)
    if p.get("top_p", 1.0) < 1:
        scores = lp.TopPLogitsWarper(p["top_p"])(history, scores)
    return scores[0].double().softmax(-1)


def main():
    rng = random.Random(1)
    torch.manual_seed(1)

    def tokens(n):
        return [rng.randrange(VOCAB) for _ in range(n)]

    out = tokens(9)
    parameters = [
        {},
        {"temperature": 0.3},
        {"temperature": 2.5},
        {"top_k": 1},
        {"top_k": 5},
        {"top_k": 50, "temperature": 0.7},
        {"top_p": 0.1},
        {"top_p": 0.5},
        {"top_p": 0.9},
        {"top_p": 0.999, "temperature": 1.8},
        {"top_p": 0.0001},
        {"min_p": 0.05},
        {"min_p": 0.3, "temperature": 1.5},
        {"min_p": 1.0},
        {"top_k": 20, "top_p": 0.8},
        {"top_k": 20, "top_p": 0.8, "min_p": 0.1, "temperature": 1.3},
        {"repetition_penalty": 1.3},
        {"repetition_penalty": 0.7},
        {"frequency_penalty": 0.8},
        {"frequency_penalty": -1.5},
        {"presence_penalty": 1.2},
        {"presence_penalty": -2.0, "frequency_penalty": 2.0, "repetition_penalty": 1.1},
        {"logit_bias": [[3, 4.5], [11, -100.0], [40, 2.0]]},
        {"allowed_token_ids": [1, 5, 9, 33, 80]},
        {"allowed_token_ids": [1, 5, 9, 33, 80], "top_p": 0.7, "logit_bias": [[5, 3.0]]},
        {"bad_words": [[2], [out[-1], 17], [out[-2], out[-1], 23], [95, 41]]},
        {"min_tokens": 20},
        {"min_tokens": 4},
        {
            "temperature": 0.8,
            "top_k": 30,
            "top_p": 0.95,
            "min_p": 0.01,
            "repetition_penalty": 1.2,
            "frequency_penalty": 0.4,
            "presence_penalty": 0.3,
            "logit_bias": [[8, 1.0]],
            "bad_words": [[2]],
            "min_tokens": 20,
        },
    ]
    cases = []
    for params in parameters:
        logits = (torch.randn(VOCAB) * 2.5).mul(1e4).round().div(1e4)
        case = {
            "params": {"temperature": 1.0, **params},
            "prompt": tokens(12),
            "output": out,
            "logits": [round(x, 4) for x in logits.tolist()],
        }
        logits = torch.tensor(case["logits"])
        case["probabilities"] = [float(f"{x:.8g}") for x in distribution(case, logits).tolist()]
        logprobs = logits.double().log_softmax(-1)
        top = logprobs.topk(5)
        case["logprobs"] = [round(x, 7) for x in logprobs.tolist()[:4]]
        case["top_tokens"] = top.indices.tolist()
        case["top_logprobs"] = [round(x, 7) for x in top.values.tolist()]
        cases.append(case)
    with open("tests/sample/goldens/sampler.json", "w") as f:
        json.dump(
            {"vocab_size": VOCAB, "eos_token_id": EOS, "cases": cases}, f, separators=(",", ":")
        )
        f.write("\n")


if __name__ == "__main__":
    main()
