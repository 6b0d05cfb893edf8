#!/usr/bin/env python3
"""How often two daemons of one model name the same next token. The first writes a text to each of 20 prompts, dense and
greedily; both score it, token by token; positions where their likeliest tokens are the same count.

    build/dejavu serve --dtype float32 --port 8001 --grpc-port 0 &
    build/dejavu serve --dtype bfloat16 --port 8002 --grpc-port 0 &
    tools/teacher_forced.py http://127.0.0.1:8001 http://127.0.0.1:8002
"""

import argparse
import json
import urllib.request

PROMPTS = [
    "Once upon a time",
    "The old lighthouse",
    "Lily had a red ball",
    "Tom and his mom went",
    "A dragon who was afraid of fire",
    "The cat sat on",
    "In the middle of the night,",
    "Grandma opened the box and",
    "The little boat",
    "Every morning the baker",
    "Two friends found a map",
    "It was raining, so",
    "The robot wanted to learn",
    "Deep in the forest lived",
    "Ben lost his hat",
    "The king asked his people",
    "A snail and a bird",
    "On her first day at school",
    "The moon looked down and",
    "Nobody in the village knew why",
]


def ask(url, path, body):
    request = urllib.request.Request(url + path, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=600) as answer:
        return json.load(answer)


def complete(url, prompt, max_tokens, **more):
    model = ask_model(url)
    body = {"model": model, "prompt": prompt, "max_tokens": max_tokens, "temperature": 0}
    return ask(url, "/v1/completions", {**body, "sparsity": {"mode": "dense"}, **more})["choices"][0]


def ask_model(url):
    with urllib.request.urlopen(f"{url}/v1/models", timeout=60) as answer:
        return json.load(answer)["data"][0]["id"]


def likeliest(url, tokens):
    """The token of rank 1 at every position but the first."""
    scored = complete(url, tokens, 0, echo=True, prompt_logprobs=1)["prompt_logprobs"]
    return [next(int(token) for token, of in place.items() if of["rank"] == 1) for place in scored[1:]]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reference", help="the daemon that writes")
    parser.add_argument("other")
    parser.add_argument("--max-tokens", type=int, default=200)
    args = parser.parse_args()
    same = positions = 0
    for prompt in PROMPTS:
        text = complete(args.reference, prompt, args.max_tokens)["text"]
        begin, tokens = (ask(args.reference, "/tokenize", {"prompt": p})["tokens"] for p in (prompt, prompt + text))
        ours, theirs = (likeliest(url, tokens)[len(begin) - 1 :] for url in (args.reference, args.other))
        same += sum(a == b for a, b in zip(ours, theirs, strict=True))
        positions += len(ours)
    print(f"{len(PROMPTS)} texts, {positions} next tokens, {100 * same / positions:.2f} % the same")


if __name__ == "__main__":
    main()
