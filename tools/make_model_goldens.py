#!/usr/bin/env python3
"""Makes tests/model/golden/: tiny random models of every family and odd shape, with the logits that
Hugging Face transformers computes for a prompt in float32 and in bfloat16 (eager attention), and
greedy continuations of the demo model. Needs torch, transformers and safetensors.

    python tools/make_model_goldens.py [CASE ...]      (no CASE: all of them)
"""

import json
import shutil
import sys
from pathlib import Path

import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import (
    ArceeConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    MistralConfig,
    OPTConfig,
    Qwen2Config,
)
from transformers.activations import ACT2FN

ROOT = Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "tests" / "model" / "golden"
DEMO = ROOT / "models" / "demo"
FATRELU_THRESHOLD = 0.05


class FatRelu(torch.nn.Module):
    """Zero up to a threshold, the identity above it (ProSparse)."""

    def forward(self, x):
        return torch.where(x > FATRELU_THRESHOLD, x, torch.zeros_like(x))


ACT2FN["fatrelu"] = FatRelu


def opt(**changes):
    base = dict(
        vocab_size=131,
        hidden_size=40,
        num_hidden_layers=2,
        num_attention_heads=4,
        ffn_dim=88,
        max_position_embeddings=64,
        word_embed_proj_dim=40,
    )
    return OPTConfig(**(base | changes))


def llama(cls=LlamaConfig, **changes):
    base = dict(
        vocab_size=101,
        hidden_size=36,
        num_hidden_layers=2,
        num_attention_heads=6,
        num_key_value_heads=2,
        intermediate_size=56,
        max_position_embeddings=128,
        bos_token_id=1,
        eos_token_id=2,
    )
    return cls(**(base | changes))


def rope(kind, theta=10000.0, **keys):
    return dict(rope_type=kind, rope_theta=theta, **keys)


# name: (config, prompt length, stored dtype)
CASES = {
    "opt": (opt(), 40, "bfloat16"),
    "opt-gelu-f32": (
        opt(
            activation_function="gelu",
            hidden_size=33,
            word_embed_proj_dim=33,
            num_attention_heads=3,
            ffn_dim=70,
        ),
        24,
        "float32",
    ),
    "opt-post-norm-proj": (opt(do_layer_norm_before=False, word_embed_proj_dim=24), 33, "float16"),
    "opt-no-bias-no-affine": (
        opt(enable_bias=False, layer_norm_elementwise_affine=False, activation_function="gelu_new"),
        20,
        "bfloat16",
    ),
    "opt-no-final-norm": (
        opt(_remove_final_layer_norm=True, tie_word_embeddings=False),
        20,
        "bfloat16",
    ),
    "llama": (llama(), 50, "bfloat16"),
    "llama-f16-tied": (llama(tie_word_embeddings=True, num_key_value_heads=6), 24, "float16"),
    "llama-bias-head-dim": (
        llama(
            attention_bias=True,
            mlp_bias=True,
            head_dim=10,
            num_attention_heads=5,
            num_key_value_heads=1,
            hidden_size=45,
        ),
        37,
        "bfloat16",
    ),
    "llama-gelu": (llama(hidden_act="gelu"), 20, "bfloat16"),
    "llama-gelu-tanh": (llama(hidden_act="gelu_pytorch_tanh"), 20, "bfloat16"),
    "llama-relu": (llama(hidden_act="relu"), 20, "bfloat16"),
    "llama-relu2": (llama(hidden_act="relu2"), 20, "bfloat16"),
    "llama-fatrelu": (
        llama(hidden_act="fatrelu", hidden_act_param=FATRELU_THRESHOLD),
        20,
        "bfloat16",
    ),
    "llama-rope-llama3": (
        llama(
            rope_parameters=rope(
                "llama3",
                500000.0,
                factor=8.0,
                low_freq_factor=1.0,
                high_freq_factor=4.0,
                original_max_position_embeddings=32,
            ),
            head_dim=16,
        ),
        80,
        "bfloat16",
    ),
    "llama-rope-linear": (llama(rope_parameters=rope("linear", factor=4.0)), 60, "bfloat16"),
    "llama-rope-dynamic": (
        llama(rope_parameters=rope("dynamic", factor=2.0), max_position_embeddings=32),
        48,
        "bfloat16",
    ),
    "llama-rope-dynamic-short": (
        llama(rope_parameters=rope("dynamic", factor=2.0), max_position_embeddings=64),
        48,
        "bfloat16",
    ),
    "llama-rope-yarn": (
        llama(
            rope_parameters=rope("yarn", factor=4.0, original_max_position_embeddings=32),
            head_dim=16,
        ),
        80,
        "bfloat16",
    ),
    "mistral-window": (llama(MistralConfig, sliding_window=11), 50, "bfloat16"),
    "qwen2": (
        llama(
            Qwen2Config,
            tie_word_embeddings=True,
            hidden_size=56,
            num_attention_heads=7,
            num_key_value_heads=1,
        ),
        33,
        "bfloat16",
    ),
    "qwen2-window": (
        llama(
            Qwen2Config,
            use_sliding_window=True,
            sliding_window=9,
            max_window_layers=1,
            num_hidden_layers=3,
        ),
        40,
        "bfloat16",
    ),
    "arcee": (llama(ArceeConfig, mlp_bias=True), 30, "bfloat16"),
}


def randomize(model, seed):
    """Larger than transformers' own initialisation, so that every part of the model shows in the logits, and small
    enough in the layers that bfloat16's noise in transformers itself stays near 0.01 of the largest logit: beyond
    that its bfloat16 logits say nothing about ours."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            noise = torch.randn(weight.shape, generator=generator)
            if weight.dim() == 1:
                centre = 0.0 if name.endswith("bias") else 1.0
                weight.copy_(centre + 0.2 * noise)
            else:
                weight.copy_(noise * (0.5 if "layers." in name else 1.0) / weight.shape[1] ** 0.5)


def logits(directory, ids, dtype):
    model = AutoModelForCausalLM.from_pretrained(
        directory, dtype=dtype, attn_implementation="eager"
    ).eval()
    with torch.no_grad():
        return model(torch.tensor([ids])).logits[0].float().contiguous()


def make_case(name):
    config, length, stored = CASES[name]
    directory = GOLDEN / name
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    seed = sum(name.encode())
    model = AutoModelForCausalLM.from_config(config)
    randomize(model, seed)
    model.to(getattr(torch, stored)).save_pretrained(directory)
    (directory / "generation_config.json").unlink(missing_ok=True)
    ids = torch.randint(
        0, config.vocab_size, (length,), generator=torch.Generator().manual_seed(seed)
    ).tolist()
    full, half = logits(directory, ids, torch.float32), logits(directory, ids, torch.bfloat16)
    save_file(
        {"ids": torch.tensor(ids, dtype=torch.int32), "float32": full, "bfloat16": half},
        directory / "golden.safetensors",
    )
    noise = ((full - half).abs().max() / full.abs().max()).item()
    print(
        f"{name}: {length} tokens, largest logit {full.abs().max():.2f}, bfloat16 beside float32 {noise:.4f}"
    )


def make_sharded():
    """The llama case again, in shards with an index, and named as configs before transformers 5 were."""
    source, directory = GOLDEN / "llama-rope-llama3", GOLDEN / "llama-sharded-old-config"
    shutil.rmtree(directory, ignore_errors=True)
    model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.bfloat16)
    model.save_pretrained(directory, max_shard_size="40KB")
    (directory / "generation_config.json").unlink(missing_ok=True)
    config = json.loads((directory / "config.json").read_text())
    scaling = config.pop("rope_parameters")
    config["rope_theta"] = scaling.pop("rope_theta")
    config["rope_scaling"] = scaling
    config["torch_dtype"] = config.pop("dtype")
    (directory / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    shutil.copy(source / "golden.safetensors", directory)
    print(f"llama-sharded-old-config: {len(list(directory.glob('model-*.safetensors')))} shards")


def make_bare():
    """The OPT case as a bare decoder: other tensor names, no head."""
    source, directory = GOLDEN / "opt", GOLDEN / "opt-bare-names"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    tensors = load_file(source / "model.safetensors")
    save_file(
        {
            name.removeprefix("model."): tensor
            for name, tensor in tensors.items()
            if name != "lm_head.weight"
        },
        directory / "model.safetensors",
    )
    shutil.copy(source / "config.json", directory)
    shutil.copy(source / "golden.safetensors", directory)


DEMO_PROMPTS = [
    "Once upon a time",
    "The old clock in the hall",
    "In a small village by the sea",
    "Dear friend,",
    "The best way to learn",
    "A cat named",
    "When the rain stopped,",
    "To make a good soup,",
    "Deep in the forest there lived",
    "The little robot",
    "Every morning, Anna",
    "It was the first day of school",
    "<|im_start|>user\nTell me a story about a dragon.<|im_end|>\n<|im_start|>assistant\n",
    "<|im_start|>user\nGive me a tip for sleeping well.<|im_end|>\n<|im_start|>assistant\n",
    "<|im_start|>user\nDescribe the ocean in a few sentences.<|im_end|>\n<|im_start|>assistant\n",
    "<|im_start|>user\nExplain why the sky is blue.<|im_end|>\n<|im_start|>assistant\n",
    "The king had three daughters, and each of them",
    "Tom opened the box and found",
    "Winter came early that year.",
    "She looked at the stars and wondered",
]


def make_demo():
    directory = GOLDEN / "demo"
    directory.mkdir(parents=True, exist_ok=True)
    tokenizer = AutoTokenizer.from_pretrained(DEMO)
    model = AutoModelForCausalLM.from_pretrained(
        DEMO, dtype=torch.float32, attn_implementation="eager"
    ).eval()
    prompts, outputs, closest = [], [], 1e9
    for prompt in DEMO_PROMPTS:
        ids = [2] + tokenizer(prompt, add_special_tokens=False).input_ids
        prompts.append(list(ids))
        cache, feed = None, torch.tensor([ids])
        out = []
        with torch.no_grad():
            for _ in range(100):
                result = model(feed, past_key_values=cache, use_cache=True)
                cache = result.past_key_values
                top = result.logits[0, -1].topk(2)
                closest = min(closest, (top.values[0] - top.values[1]).item())
                out.append(top.indices[0].item())
                feed = torch.tensor([[out[-1]]])
        outputs.append(out)
    (directory / "greedy.json").write_text(
        json.dumps({"prompts": prompts, "outputs": outputs}) + "\n"
    )
    ids = prompts[0] + outputs[0]
    rows = torch.arange(0, len(ids), 20, dtype=torch.int32)
    save_file(
        {
            "ids": torch.tensor(ids, dtype=torch.int32),
            "rows": rows,
            "float32": logits(DEMO, ids, torch.float32)[rows].contiguous(),
            "bfloat16": logits(DEMO, ids, torch.bfloat16)[rows].contiguous(),
        },
        directory / "golden.safetensors",
    )
    print(f"demo: {len(prompts)} prompts; closest first and second logit {closest:.5f}")


def main():
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    derived = {
        "demo": make_demo,
        "llama-sharded-old-config": make_sharded,
        "opt-bare-names": make_bare,
    }
    for name in sys.argv[1:] or [*CASES, *derived]:
        derived[name]() if name in derived else make_case(name)


if __name__ == "__main__":
    main()
