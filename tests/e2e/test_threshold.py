"""Mode `threshold` from calibration to serving, on a gated SiLU model: no activation is exactly zero."""

import array
import json
import random
import shutil

import pytest
from daemon import REPOSITORY, run_dejavu

HIDDEN, INTERMEDIATE, LAYERS, HEADS, KV_HEADS, VOCAB = 64, 256, 2, 4, 2, 4096
CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_act": "silu",
    "hidden_size": HIDDEN,
    "intermediate_size": INTERMEDIATE,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "num_key_value_heads": KV_HEADS,
    "vocab_size": VOCAB,
    "max_position_embeddings": 1024,
    "rms_norm_eps": 1e-6,
    "tie_word_embeddings": True,
    "dtype": "float32",
}


def shapes():
    kv = HIDDEN // HEADS * KV_HEADS
    yield "model.embed_tokens.weight", (VOCAB, HIDDEN)
    yield "model.norm.weight", (HIDDEN,)
    for layer in range(LAYERS):
        name = f"model.layers.{layer}."
        for norm in ("input_layernorm", "post_attention_layernorm"):
            yield f"{name}{norm}.weight", (HIDDEN,)
        for matrix, rows in (("q", HIDDEN), ("k", kv), ("v", kv), ("o", HIDDEN)):
            yield f"{name}self_attn.{matrix}_proj.weight", (rows, HIDDEN)
        for matrix, rows, columns in (
            ("gate", INTERMEDIATE, HIDDEN),
            ("up", INTERMEDIATE, HIDDEN),
            ("down", HIDDEN, INTERMEDIATE),
        ):
            yield f"{name}mlp.{matrix}_proj.weight", (rows, columns)


def write_safetensors(path):
    """Random weights; matrices keep the size of what passes through them."""
    draw = random.Random(3)
    header, data = {}, array.array("f")
    for name, shape in shapes():
        begin = 4 * len(data)
        if len(shape) == 1:
            data.extend([1.0] * shape[0])
        else:
            scale = shape[1] ** -0.5
            data.extend(draw.gauss(0, scale) for _ in range(shape[0] * shape[1]))
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [begin, 4 * len(data)]}
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data.tobytes())


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory):
    """The model's folder, its artifact's, a text, and the levels of threshold."""
    model = tmp_path_factory.mktemp("silu")
    (model / "config.json").write_text(json.dumps(CONFIG))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(REPOSITORY / "models" / "demo" / name, model / name)
    write_safetensors(model / "model.safetensors")
    words = random.Random(4)
    text = model / "text.txt"
    text.write_text(" ".join("".join(words.choices("abcdefghij", k=words.randint(2, 9))) for _ in range(4000)))
    out = model / "sparsity"
    made = run_dejavu(
        *("calibrate", model, "--text", text, "--target-recall", "0.6,0.8,0.95", "--max-tokens", 4608),
        *("--no-train", "--no-heads", "--rank", 8, "--out", out),
    )
    assert made.returncode == 0, made.stderr
    levels = {
        row["target_recall"]: row for row in json.loads((out / "sparsity.json").read_text())["threshold"]["levels"]
    }
    assert list(levels) == [0.6, 0.8, 0.95], made.stdout
    return model, text, levels


def test_the_status_names_the_levels(calibrated, start_daemon):
    model, _, levels = calibrated
    status = start_daemon(model, "--sparsity", "dense").get("/v1/sparsity").json()
    assert status["levels"]["threshold"] == list(levels)
    assert "threshold" in status["allowed"]
    assert "exact" not in status["allowed"]


def test_what_is_served_reads_what_eval_and_calibrate_said(calibrated, start_daemon, tmp_path):
    model, text, levels = calibrated
    out = tmp_path / "rows.json"
    done = run_dejavu("eval", model, "--text", text, "--modes", "dense,threshold", "--max-tokens", 2048, "--json", out)
    assert done.returncode == 0, done.stderr
    dense, *rows = json.loads(out.read_text())["rows"]
    assert [row["target_recall"] for row in rows] == list(levels)
    daemon = start_daemon(model, "--sparsity", "threshold", "--target-recall", 0.8, "--audit-interval", 0)
    status = daemon.get("/v1/sparsity").json()
    assert (status["mode"], status["target_recall"]) == ("threshold", 0.8)
    body = {"prompt": "abc def", "max_tokens": 400, "ignore_eos": True, "seed": 1}
    standard = daemon.post("/v1/completions", body).json()["sparsity"]
    assert standard["mode"] == "threshold"
    before = 0
    for row in rows:
        assert row["perplexity"] != dense["perplexity"]
        assert row["mlp_density"] == pytest.approx(levels[row["target_recall"]]["mlp_density"], abs=0.02)
        wish = {"mode": "threshold", "target_recall": row["target_recall"]}
        use = daemon.post("/v1/completions", {**body, "sparsity": wish}).json()["sparsity"]
        assert use["mlp_density"] == pytest.approx((399 * row["mlp_density"] + 1) / 400, abs=0.04)
        assert use["head_density"] == 1
        assert before < use["mlp_density"] < 1
        before = use["mlp_density"]
        if row["target_recall"] == 0.8:
            assert use == standard


def test_a_level_that_is_not_there_is_refused_naming_those_that_are(calibrated, start_daemon):
    model, text, levels = calibrated
    daemon = start_daemon(model, "--sparsity", "threshold")
    wish = {"mode": "threshold", "target_recall": 0.7}
    refused = daemon.post("/v1/completions", {"prompt": "a", "max_tokens": 2, "sparsity": wish})
    assert refused.status_code == 400
    assert refused.json()["error"]["param"] == "sparsity.target_recall"
    answers = [refused.json()["error"]["message"]]
    for command in (
        ["serve", model, "--target-recall", 0.7, "--sparsity", "threshold", "--port", 0, "--grpc-port", 0],
        ["eval", model, "--text", text, "--modes", "threshold", "--target-recall", 0.7],
    ):
        done = run_dejavu(*command)
        assert done.returncode == 2
        answers.append(done.stderr)
    for answer in answers:
        assert "0.6, 0.8, 0.95" in answer
