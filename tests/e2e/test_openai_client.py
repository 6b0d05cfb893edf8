"""The real `openai` client against a started daemon."""

import time

import openai
import pytest
from daemon import wait_until

MODEL = "dejavu-demo"
PROMPT = "Once upon a time"
USER = [{"role": "user", "content": "Tell a short story about a fox."}]


def complete(client, **fields):
    fields = {"prompt": PROMPT, "max_tokens": 12, "temperature": 0, **fields}
    return client.completions.create(model=MODEL, **fields)


def test_models(client):
    cards = list(client.models.list())
    assert [card.id for card in cards] == [MODEL]
    card = client.models.retrieve(MODEL)
    assert card.owned_by == "dejavu"
    assert card.max_model_len == 1024
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("other")


def test_completion(client):
    reply = complete(client)
    assert reply.id.startswith("cmpl-")
    assert reply.object == "text_completion"
    assert reply.model == MODEL
    assert abs(reply.created - time.time()) < 60
    assert reply.system_fingerprint
    assert reply.choices[0].finish_reason == "length"
    assert reply.choices[0].text
    assert reply.usage.completion_tokens == 12
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + 12
    assert reply.usage.prompt_tokens_details.cached_tokens >= 0
    assert reply.timings["predicted_n"] == 12
    assert reply.timings["predicted_per_second"] > 0


def test_greedy_text_is_the_same_streamed_and_by_token_ids(client, daemon):
    whole = complete(client).choices[0].text
    chunks = list(complete(client, stream=True))
    assert "".join(chunk.choices[0].text for chunk in chunks) == whole
    assert all(chunk.usage is None for chunk in chunks)
    assert chunks[-1].choices[0].finish_reason == "length"
    ids = daemon.post("/tokenize", {"prompt": PROMPT}).json()["tokens"]
    assert complete(client, prompt=ids).choices[0].text == whole
    assert daemon.post("/detokenize", {"tokens": ids[1:]}).json()["prompt"] == PROMPT


def test_lists_and_n_count_choices_prompt_by_prompt(client):
    alone = [complete(client, prompt=prompt).choices[0].text for prompt in ("The cat", "A dog")]
    both = complete(client, prompt=["The cat", "A dog"], n=2).choices
    assert [choice.index for choice in both] == [0, 1, 2, 3]
    assert [choice.text for choice in both] == [alone[0], alone[0], alone[1], alone[1]]
    streamed = [""] * 4
    for chunk in complete(client, prompt=["The cat", "A dog"], n=2, stream=True):
        streamed[chunk.choices[0].index] += chunk.choices[0].text
    assert streamed == [choice.text for choice in both]


def test_a_seed_fixes_the_text(client):
    first = complete(client, temperature=1, seed=7, n=2)
    second = complete(client, temperature=1, seed=7, n=2)
    assert [c.text for c in first.choices] == [c.text for c in second.choices]
    assert first.choices[0].text != first.choices[1].text


def test_completion_logprobs(client):
    logprobs = complete(client, logprobs=3).choices[0].logprobs
    assert len(logprobs.tokens) == len(logprobs.token_logprobs) == len(logprobs.top_logprobs) == 12
    for chosen, top in zip(logprobs.token_logprobs, logprobs.top_logprobs, strict=True):
        assert chosen == max(top.values())  # greedy
        assert chosen <= 0
        assert len(top) == 3
    assert logprobs.text_offset == sorted(logprobs.text_offset)


def test_echo_scores_the_prompt(client):
    reply = complete(client, echo=True, max_tokens=0, logprobs=1)
    choice = reply.choices[0]
    assert choice.text == PROMPT
    assert choice.logprobs.token_logprobs[0] is None
    assert choice.logprobs.top_logprobs[0] is None
    assert all(value <= 0 for value in choice.logprobs.token_logprobs[1:])
    assert len(choice.logprobs.tokens) == reply.usage.prompt_tokens
    with_text = complete(client, echo=True).choices[0].text
    assert with_text == PROMPT + complete(client).choices[0].text


def test_stop_strings(client):
    text = complete(client, max_tokens=40).choices[0].text
    stop = text[10:14]
    choice = complete(client, max_tokens=40, stop=[stop]).choices[0]
    assert choice.text == text[: text.index(stop)]
    assert choice.finish_reason == "stop"
    assert choice.stop_reason == stop
    kept = complete(client, max_tokens=40, stop=stop, extra_body={"include_stop_str_in_output": True})
    assert kept.choices[0].text == text[: text.index(stop)] + stop


def test_chat(client):
    reply = client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "system", "content": [{"type": "text", "text": "Be brief."}]}, *USER],
        max_completion_tokens=16,
        logprobs=True,
        top_logprobs=2,
    )
    assert reply.id.startswith("chatcmpl-")
    choice = reply.choices[0]
    assert choice.message.role == "assistant"
    assert choice.message.content
    entries = choice.logprobs.content
    assert len(entries) == reply.usage.completion_tokens
    assert all(len(entry.top_logprobs) == 2 for entry in entries)
    spelled = b"".join(bytes(entry.bytes) for entry in entries)
    assert spelled.decode().startswith(choice.message.content)


def test_chat_stream_with_usage(client):
    chunks = list(
        client.chat.completions.create(
            model=MODEL,
            messages=USER,
            max_tokens=16,
            temperature=0,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    first, *middle, last = chunks
    assert first.choices[0].delta.role == "assistant"
    assert first.choices[0].delta.content is None
    assert all(chunk.usage is None for chunk in (first, *middle))
    assert middle[-1].choices[0].finish_reason in ("stop", "length")
    assert last.choices == []
    whole = client.chat.completions.create(model=MODEL, messages=USER, max_tokens=16, temperature=0)
    assert last.usage.completion_tokens == whole.usage.completion_tokens
    text = "".join(chunk.choices[0].delta.content or "" for chunk in middle)
    assert text == whole.choices[0].message.content


def test_continuous_usage(client):
    chunks = list(
        complete(
            client,
            stream=True,
            stream_options={"include_usage": True, "continuous_usage_stats": True},
        )
    )
    counts = [chunk.usage.completion_tokens for chunk in chunks]
    assert counts == sorted(counts)
    assert counts[-1] == 12


def test_max_completion_tokens_wins(client):
    reply = client.chat.completions.create(model=MODEL, messages=USER, max_tokens=50, max_completion_tokens=3)
    assert reply.usage.completion_tokens <= 3


def test_completions_default_to_16_tokens(client):
    reply = client.completions.create(model=MODEL, prompt=PROMPT, extra_body={"ignore_eos": True})
    assert reply.usage.completion_tokens == 16


def test_prompt_logprobs(client):
    reply = complete(client, extra_body={"prompt_logprobs": 1})
    scores = reply.choices[0].prompt_logprobs
    assert len(scores) == reply.usage.prompt_tokens
    assert scores[0] is None
    for score in scores[1:]:
        assert all(entry["rank"] >= 1 for entry in score.values())


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"n": 1_000_000}, "n"),
        ({"temperature": -1}, "temperature"),
        ({"top_p": 2}, "top_p"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"logprobs": 21}, "logprobs"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop"),
        ({"suffix": "x"}, "suffix"),
        ({"logit_bias": {"99999": 1}}, "logit_bias"),
        ({"extra_body": {"top_k": "many"}}, "top_k"),
        ({"extra_body": {"tools": [{"type": "function"}]}}, "tools"),
        ({"prompt": []}, "prompt"),
        ({"prompt": [5000]}, "prompt"),
    ],
)
def test_refusals_name_the_field(client, fields, param):
    with pytest.raises(openai.BadRequestError) as refused:
        complete(client, **fields)
    assert refused.value.param == param
    assert refused.value.type == "invalid_request_error"


def test_too_long_a_prompt_says_the_numbers(client):
    with pytest.raises(openai.BadRequestError) as refused:
        complete(client, prompt="fox " * 3000)
    assert refused.value.code == "context_length_exceeded"
    assert "1024" in refused.value.message


def test_an_unknown_model_is_not_found(client):
    with pytest.raises(openai.NotFoundError) as refused:
        client.completions.create(model="other", prompt=PROMPT)
    assert refused.value.code == "model_not_found"


def test_both_prompt_endings_are_refused(client):
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(
            model=MODEL,
            messages=USER,
            extra_body={"add_generation_prompt": True, "continue_final_message": True},
        )


def test_a_stream_dropped_midway_frees_the_engine(client, daemon):
    stream = complete(client, max_tokens=1000, stream=True, extra_body={"ignore_eos": True})
    for _ in range(3):
        next(iter(stream))
    assert daemon.metric("dejavu_requests_running") == 1
    stream.close()
    wait_until(lambda: daemon.metric("dejavu_requests_running") == 0)
    assert daemon.metric("dejavu_kv_cache_pages_used") == 0


def test_an_answer_nobody_waits_for_is_cancelled(client, daemon):
    with pytest.raises(openai.APITimeoutError):
        complete(
            client.with_options(timeout=0.3),
            max_tokens=1000,
            n=8,
            extra_body={"ignore_eos": True},
        )
    wait_until(lambda: daemon.metric("dejavu_requests_running") == 0)


def test_a_deadline_is_a_gateway_timeout(client):
    with pytest.raises(openai.APIStatusError) as late:
        complete(client, max_tokens=1000, n=8, extra_body={"ignore_eos": True, "timeout_ms": 50})
    assert late.value.status_code == 504
