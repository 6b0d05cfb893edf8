# ruff: noqa: E501 (lines of test data)
"""The fragments that the tokenizer goldens' strings are composed of."""

import unicodedata

from tokenizers import normalizers

WORDS = """the The THE and it's It's IT'S don't DON'T we'll I'm you've they'd o'clock 's 't 're 'll
'' Once upon a time hello world extraordinary zebra naïve café résumé coöperate Ångström façade
wordy wordysmith unwordy antidisestablishmentarianism supercalifragilisticexpialidocious x y Z 0 1 12 123
1234 12345 1234567890 3.14159 1,000,000 2^10 1e-5 0x1F ½ ² ³¹ Ⅷ ٣٤٥ ४५६ 五十 ①② 100% $5.99 €20 £3 ¥8
snake_case camelCase kebab-case HTTPServer2 foo.bar() #include <stdio.h> if(a<b){return;} == != &&
|| i++ /* c */ // -- --- ... … — – “quoted” ‘single’ «guillemets» (paren) [x] {y} \\n \\ / @user
#tag https://example.com/a?b=c&d=e#f user@example.org C:\\Windows 192.168.0.1 2026-11-23T08:20:00Z
don’t it’ſ 'ſ 'S 'T 'RE 'Ve 'LL 'd K Å ſ ß ẞ ﬁ ﬆ ŉ İ ı ǅ ﷺ""".split()

SCRIPTS = """Привет, мир! Съешь же ещё этих мягких французских булок
Ξεσκεπάζω την ψυχοφθόρα βδελυγμία ΟΔΥΣΣΕΥΣ
שלום עולם שָׁלוֹם
مرحبا بالعالم السَّلَامُ عَلَيْكُمْ ۱۲۳
नमस्ते दुनिया क्षत्रिय कि की
বাংলা ভাষা
ਸਤਿ ਸ੍ਰੀ ਅਕਾਲ
வணக்கம் உலகம்
తెలుగు లిపి
ಕನ್ನಡ
മലയാളം
සිංහල
สวัสดีชาวโลก ภาษาไทย
ສະບາຍດີ
ကမ္ဘာ မင်္ဂလာပါ
ខ្មែរ
བོད་སྐད།
გამარჯობა მსოფლიო
Բարեւ աշխարհ
ሰላም ልዑል
ᏣᎳᎩ
ᠮᠣᠩᠭᠣᠯ
你好，世界。天地玄黃，宇宙洪荒
こんにちは世界 カタカナ ひらがな ｶﾀｶﾅ が
안녕하세요 세계 각
𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𝟘𝟙𝟚 𝒜
𐍈𐌰𐌹 𓀀𓂀 𒀀 𠜎𠜱 𝄞
Việt Nam Tiếng Việt ế ệ
ǭ ṩ ỗ Ǻ ﬃ ℌ ㎏ ㍿ ｆｕｌｌ""".split("\n")

EMOJI = """😀 😂🤣 ❤️ ❤ 👍🏽 👨‍👩‍👧‍👦 🏳️‍🌈 🇩🇪🇫🇷 🧑🏿‍🚀 #️⃣ 1️⃣ ☺︎ ✨ 🫠 ⌛ ♻️ ™ © ® → ∑ ≠ ∞ √ ½
░▒▓ ┌─┐""".split()

SPACES = [" ", "  ", "   ", "    ", "     ", " " * 8, " " * 15, " " * 33, " " * 100, "\n", "\n\n",
          "\n\n\n\n", "\r\n", "\r\n\r\n", "\r", "\t", "\t\t\t", " \n", "\n ", " \n \n", "\t \t",
          "\n\t", "\u00a0", "\u2003", "\u2009 ", "\u3000", "\u3000\u3000", "\u2028", "\u2029",
          "\u0085", "\u180e", "\u200b", "\u200c", "\u200d", "\u2060", "\ufeff", "\u202f", "\u205f", "\u1680",
          "\v", "\f", "\x1c", "\x1d", "\x1e", "\x1f", "\n" * 40, "\t" * 20, " \u00a0 "]  # fmt: skip

CONTROL = ["\x00", "\x01\x02", "\x07", "\x08", "\x1b[31m", "\x7f", "\u0080", "\u009f", "\u00ad",
           "\u202e", "\u2066", "\ue000", "\uf8ff", "\U000f0000", "\U0010ffff", "\ufffd", "\uffff",
           "\ufdd0", "\U000e0041", "\u034f", "\u0301", "e\u0301", "\u0301\u0302", "a\u0327\u0301",
           "Z\u0351\u036b\u0343", "q\u0323\u0307", "q\u0307\u0323", "\u1100\u1161\u11a8", "\u212b",
           "\u0344", "\ud7a3", "\u0f71\u0f72", "\U0001d15e", "\u2126", "\u037e"]  # fmt: skip

MARKUP = ["<s>", "</s>", "<pad>", "<unk>", "<|im_start|>", "<|im_end|>", "<|endoftext|>", "<mask>",
          "<tail>", "<|a|>", "<|a|>b", " <mask> ", "<tail>  ", "<|begin_of_text|>", "<|eot_id|>",
          "<|start_header_id|>user<|end_header_id|>\n\n", "<|im_start|>user\n", "<|im_end|>\n",
          "<|im_start", "<s", "</s", "<0x41>", "<0xE2>", "[INST]", "[/INST]", "<<SYS>>\n", "▁",
          "▁▁", "▁the", "Ġ", "Ġthe", "Ċ", "<|", "|>", "<<s>>", "wordy ", " wordy",
          ".wordy.", "_wordy", "<|im_start|><|im_end|>", "assistant\n", "system\n"]  # fmt: skip


def known_to_tokenizers(c):
    """Its normalizers use tables of an older Unicode than ours; later characters are left out."""
    decomposed = normalizers.NFKD().normalize_str(c)
    stripped = normalizers.StripAccents().normalize_str(c)
    is_mark = unicodedata.category(c).startswith("M")
    return decomposed == unicodedata.normalize("NFKD", c) and stripped == ("" if is_mark else c)


def random_characters(rng):
    """Assigned characters from every plane that has some, alone and in clusters."""
    ranges = [(0x20, 0x250, 150), (0x250, 0x3000, 350), (0x3000, 0xD800, 150),
              (0xF900, 0x10000, 80), (0x10000, 0x20000, 150), (0x20000, 0x2FA20, 30),
              (0x1F300, 0x1FA00, 60)]  # fmt: skip
    parts = []
    for low, high, count in ranges:
        while count > 0:
            c = chr(rng.randrange(low, high))
            if unicodedata.category(c) in ("Cn", "Cs") or not known_to_tokenizers(c):
                continue
            parts.append(c if count % 3 else c + rng.choice(["a", " ", "1", "\u0301", "'", "."]))
            count -= 1
    return parts


def fragments(documents, rng):
    parts = WORDS + [" " + w for w in WORDS] + SCRIPTS * 2 + EMOJI * 2 + SPACES * 2
    parts += CONTROL + MARKUP * 2 + random_characters(rng)
    for script in SCRIPTS:
        parts += script.split()
        parts.append(unicodedata.normalize("NFD", script))
    for _ in range(150):
        document = rng.choice(documents)
        start = rng.randrange(len(document))
        parts.append(document[start : start + rng.randrange(1, 60)])
    return parts
