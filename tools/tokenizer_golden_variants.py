"""Tokenizers that differ from a trained one in a few parts: {name, base, patch, model_patch}."""

LLAMA3_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN_PATTERN = LLAMA3_PATTERN.replace(r"\p{N}{1,3}", r"\p{N}")
O200K_PATTERN = "|".join(
    [
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"\p{N}{1,3}",
        r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
        r"\s*[\r\n]+",
        r"\s+(?!\S)",
        r"\s+",
    ]
)
DEEPSEEK_PATTERN = (
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
    r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
BLOOM_PATTERN = " ?[^(\\s|[.,!?…。，、।۔،])]+"
METASPACE = {"type": "Metaspace", "replacement": "▁"}
PLAIN_BYTE_LEVEL = {
    "type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False,
}  # fmt: skip


def split(pattern, behavior="Isolated", invert=False):
    return {"type": "Split", "pattern": pattern, "behavior": behavior, "invert": invert}


def sequence(*steps):
    return {"type": "Sequence", "pretokenizers": [*steps]}


def normalizer_sequence(*steps):
    return {"type": "Sequence", "normalizers": [*steps]}


def gpt2_variants():
    digits = {"type": "Digits", "individual_digits": True}
    byte_level = PLAIN_BYTE_LEVEL | {"use_regex": True}
    prefix_space = PLAIN_BYTE_LEVEL | {"use_regex": True, "add_prefix_space": True}
    pre_tokenizers = {
        "prefix-space": prefix_space,
        "starcoder": sequence(digits, byte_level),
        "falcon": sequence(
            {"type": "Punctuation", "behavior": "Contiguous"},
            byte_level,
            {"type": "Digits", "individual_digits": False},
            split({"Regex": "[0-9][0-9][0-9]"}),
        ),
        "qwen": sequence(split({"Regex": QWEN_PATTERN}), PLAIN_BYTE_LEVEL),
        "o200k": sequence(split({"Regex": O200K_PATTERN}), PLAIN_BYTE_LEVEL),
        "deepseek": sequence(
            split({"Regex": r"\p{N}{1,3}"}),
            split({"Regex": "[一-龥぀-ゟ゠-ヿ]+"}),
            split({"Regex": DEEPSEEK_PATTERN}),
            PLAIN_BYTE_LEVEL,
        ),
        "bloom": sequence(split({"Regex": BLOOM_PATTERN}), PLAIN_BYTE_LEVEL),
        "whitespace": sequence({"type": "Whitespace"}, PLAIN_BYTE_LEVEL),
        "whitespace-split": sequence({"type": "WhitespaceSplit"}, PLAIN_BYTE_LEVEL),
        "classes": sequence(
            split({"Regex": r"\w+"}), split({"Regex": r"\d|\W\h*"}, "MergedWithNext"),
            PLAIN_BYTE_LEVEL,
        ),
    }  # fmt: skip
    for behavior in ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"]:
        for pattern in [{"String": "e"}, {"Regex": r"\s|[aeiou]{1,2}"}]:
            for invert in [False, True]:
                kind = "string" if "String" in pattern else "regex"
                name = f"split-{behavior}-{kind}{'-invert' if invert else ''}"
                pre_tokenizers[name] = sequence(split(pattern, behavior, invert), PLAIN_BYTE_LEVEL)
    normalizers = {
        form.lower(): {"type": form}
        for form in ["NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents"]
    }
    normalizers |= {
        "strip": {"type": "Strip", "strip_left": True, "strip_right": True},
        "strip-left": {"type": "Strip", "strip_left": True, "strip_right": False},
        "nfd-strip-accents-lowercase": normalizer_sequence(
            {"type": "NFD"}, {"type": "StripAccents"}, {"type": "Lowercase"}
        ),
        "prepend": {"type": "Prepend", "prepend": ">"},
        "replace": normalizer_sequence(
            {"type": "Replace", "pattern": {"Regex": r"\s{2,}"}, "content": " "},
            {"type": "Replace", "pattern": {"String": "the"}, "content": "$1 THE"},
        ),
    }
    patches = [(name, {"pre_tokenizer": p}, {}) for name, p in pre_tokenizers.items()]
    patches += [(name, {"normalizer": n}, {}) for name, n in normalizers.items()]
    ends = {"sep": ["<mask>", 1], "cls": ["<|endoftext|>", 0]}
    patches += [
        ("roberta", {"post_processor": {"type": "RobertaProcessing", "trim_offsets": True,
                                        "add_prefix_space": True} | ends}, {}),
        ("bert", {"post_processor": {"type": "BertProcessing"} | ends}, {}),
        ("no-decoder", {"decoder": None}, {}),
        ("no-pre-tokenizer", {"pre_tokenizer": None}, {"unk_token": "<|endoftext|>"}),
        ("fuse-unknown", {"pre_tokenizer": None},
         {"unk_token": "<|endoftext|>", "fuse_unk": True}),
    ]  # fmt: skip
    return [("gpt2", *p) for p in patches]


def llama_variants():
    decoder = {"type": "Metaspace", "replacement": "▁", "split": True}
    patches = []
    for scheme in ["always", "first", "never"]:
        for cut in [True, False]:
            patches.append(
                (
                    f"metaspace-{scheme}{'' if cut else '-whole'}",
                    {
                        "normalizer": None,
                        "pre_tokenizer": METASPACE | {"prepend_scheme": scheme, "split": cut},
                        "decoder": decoder | {"prepend_scheme": scheme},
                    },
                    {},
                )
            )
    # Files of older versions say only add_prefix_space.
    legacy = METASPACE | {"add_prefix_space": True}
    patches += [
        ("metaspace-legacy", {"normalizer": None, "pre_tokenizer": legacy, "decoder": legacy}, {}),
        ("gemma", {"normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
                   "pre_tokenizer": split({"String": " "}, "MergedWithPrevious"),
                   "decoder": {"type": "Sequence", "decoders": [
                       {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
                       {"type": "ByteFallback"}, {"type": "Fuse"}]}}, {}),
        ("no-byte-fallback", {}, {"byte_fallback": False}),
        ("no-fuse", {}, {"byte_fallback": False, "fuse_unk": False}),
        ("no-unknown", {}, {"byte_fallback": False, "unk_token": None}),
        ("strip-stop", {"decoder": {"type": "Sequence", "decoders": [
            {"type": "Strip", "content": "e", "start": 0, "stop": 1}, {"type": "Fuse"},
            {"type": "Replace", "pattern": {"String": "t▁"}, "content": "_"}]}}, {}),
    ]  # fmt: skip
    return [("llama", *p) for p in patches]


def variants():
    return [
        {"name": name, "base": base, "patch": patch, "model_patch": model_patch}
        for base, name, patch, model_patch in gpt2_variants() + llama_variants()
    ]
