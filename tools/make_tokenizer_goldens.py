#!/usr/bin/env python3
"""Makes tests/text/goldens/: small tokenizers and what Hugging Face `tokenizers` says about them.

Needs the `tokenizers` package and a corpus in JSON Lines with a field "text":

    python tools/make_tokenizer_goldens.py --corpus CORPUS.jsonl

The strings are not stored: test and script compose string i of the same fragments with the same
generator (see `compose`), and compare 32-bit hashes of the answers.
"""

import argparse
import json
import random
import unicodedata
from itertools import islice
from pathlib import Path

import numpy
from tokenizer_golden_texts import fragments
from tokenizer_golden_variants import LLAMA3_PATTERN, variants
from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "tests" / "text" / "goldens"
MAIN_STRINGS = 12_000
MAIN_SEQUENCES = 2_000
VARIANT_STRINGS = 1_000
VARIANT_SEQUENCES = 200
MASK = (1 << 64) - 1


def splitmix64(state):
    """The generator of the test: yields numbers below 2^64."""
    while True:
        state = (state + 0x9E3779B97F4A7C15) & MASK
        z = state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        yield z ^ (z >> 31)


def compose(index, parts):
    numbers = splitmix64(index)
    count = 1 + next(numbers) % 12
    return "".join(parts[next(numbers) % len(parts)] for _ in range(count))


def id_sequence(index, vocabulary_size):
    numbers = splitmix64(index)
    count = 1 + next(numbers) % 24
    return [next(numbers) % vocabulary_size for _ in range(count)]


def fnv1a(data):
    value = 0x811C9DC5
    for byte in data:
        value = ((value ^ byte) * 0x01000193) & 0xFFFFFFFF
    return value


def train(tokenizer, trainer, corpus, pre_tokenizer):
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.train_from_iterator(corpus, trainer)


def gpt2_kind(corpus):
    tokenizer = Tokenizer(models.BPE())
    trainer = trainers.BpeTrainer(
        vocab_size=1200,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    train(tokenizer, trainer, corpus, pre_tokenizers.ByteLevel(add_prefix_space=False))
    tokenizer.add_tokens(
        [
            AddedToken("<mask>", lstrip=True, special=True),
            AddedToken("<tail>", rstrip=True, normalized=False),
            AddedToken("wordy", single_word=True),
            AddedToken("    ", normalized=False),
            AddedToken("<|a|>"),
            AddedToken("<|a|>b"),
        ]
    )
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    tokenizer.decoder = decoders.ByteLevel()
    return json.loads(tokenizer.to_str())


def llama_kind(corpus):
    byte_tokens = [f"<0x{b:02X}>" for b in range(256)]
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    trainer = trainers.BpeTrainer(
        vocab_size=1500,
        special_tokens=["<unk>", "<s>", "</s>", *byte_tokens],
        limit_alphabet=400,
        show_progress=False,
    )
    train(tokenizer, trainer, corpus, pre_tokenizers.Metaspace())
    data = json.loads(tokenizer.to_str())
    data["added_tokens"] = data["added_tokens"][:3]
    tokenizer = Tokenizer.from_str(json.dumps(data))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    tokenizer.pre_tokenizer = None
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)]
    )
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    return json.loads(tokenizer.to_str())


def llama3_kind(corpus):
    tokenizer = Tokenizer(models.BPE(ignore_merges=True))
    trainer = trainers.BpeTrainer(
        vocab_size=1200,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    split = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(LLAMA3_PATTERN), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    train(tokenizer, trainer, corpus, split)
    data = json.loads(tokenizer.to_str())
    # Words without merges, which only ignore_merges finds; merges in the older spelling.
    for word in ["Ġextraordinary", "Ġzebra", "123", "ĠÐ¼Ð¸ÑĢ"]:
        data["model"]["vocab"].setdefault(word, len(data["model"]["vocab"]))
    data["model"]["merges"] = [f"{a} {b}" for a, b in data["model"]["merges"]]
    tokenizer = Tokenizer.from_str(json.dumps(data))
    tokenizer.add_special_tokens(
        ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>",
         "<|eot_id|>", "<|im_start|>", "<|im_end|>"]
    )  # fmt: skip
    begin = tokenizer.token_to_id("<|begin_of_text|>")
    tokenizer.post_processor = processors.Sequence(
        [
            processors.ByteLevel(trim_offsets=False),
            processors.TemplateProcessing(
                single="<|begin_of_text|> $A", special_tokens=[("<|begin_of_text|>", begin)]
            ),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    result = json.loads(tokenizer.to_str())
    result["model"]["merges"] = data["model"]["merges"]
    return result


def answers(tokenizer, parts, strings, sequences):
    """Two hashes a string (ids without and with special tokens; texts with and without), then one
    for the text of each sequence of random ids."""
    hashes = []
    for i in range(strings):
        text = compose(i, parts)
        plain = tokenizer.encode(text, add_special_tokens=False).ids
        special = tokenizer.encode(text, add_special_tokens=True).ids
        kept = tokenizer.decode(special, skip_special_tokens=False)
        skipped = tokenizer.decode(special, skip_special_tokens=True)
        ids = numpy.array(plain + special, dtype="<u4")
        hashes += [fnv1a(ids.tobytes()), fnv1a((kept + skipped).encode())]
    size = tokenizer.get_vocab_size()
    for i in range(sequences):
        text = tokenizer.decode(id_sequence(i, size), skip_special_tokens=False)
        hashes.append(fnv1a(text.encode()))
    return numpy.array(hashes, dtype="<u4")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", required=True, type=Path)
    corpus_path = parser.parse_args().corpus
    with corpus_path.open(encoding="utf-8") as lines:
        documents = [json.loads(line)["text"] for line in islice(lines, 1500)]
    OUT.mkdir(parents=True, exist_ok=True)
    parts = fragments(documents, random.Random(7))
    (OUT / "fragments.json").write_text(json.dumps(parts, indent=0), encoding="utf-8")
    corpus = documents + [p for p in parts for _ in range(3)]
    corpus += [unicodedata.normalize("NFD", p) for p in parts]

    demo = json.loads((ROOT / "models" / "demo" / "tokenizer.json").read_text(encoding="utf-8"))
    tokenizers = {
        "demo": demo,
        "gpt2": gpt2_kind(corpus),
        "llama": llama_kind(corpus),
        "llama3": llama3_kind(corpus),
    }
    examples = {}
    for name, data in tokenizers.items():
        if name != "demo":
            text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
            (OUT / f"{name}.tokenizer.json").write_text(text, encoding="utf-8")
        tokenizer = Tokenizer.from_str(json.dumps(data))
        answers(tokenizer, parts, MAIN_STRINGS, MAIN_SEQUENCES).tofile(OUT / f"{name}.u32")
        examples[name] = [
            {"text": compose(i, parts), "ids": tokenizer.encode(compose(i, parts)).ids}
            for i in range(40)
        ]
    (OUT / "examples.json").write_text(json.dumps(examples), encoding="utf-8")

    changed = variants()
    (OUT / "variants.json").write_text(json.dumps(changed, indent=1), encoding="utf-8")
    rows = []
    for variant in changed:
        data = tokenizers[variant["base"]] | variant["patch"]
        data["model"] = data["model"] | variant["model_patch"]
        tokenizer = Tokenizer.from_str(json.dumps(data))
        rows.append(answers(tokenizer, parts, VARIANT_STRINGS, VARIANT_SEQUENCES))
    numpy.concatenate(rows).tofile(OUT / "variants.u32")


if __name__ == "__main__":
    main()
