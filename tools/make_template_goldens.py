#!/usr/bin/env python3
"""Makes tests/text/goldens/templates.json: what jinja2, set up as transformers does it, renders.

    python tools/make_template_goldens.py

Needs the `jinja2` package. Each case holds a template (or the name of a file in
tests/text/templates), the variables, and the text, or the kind of the error with its message when
the template itself raised it.
"""

import json
from pathlib import Path

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment
from template_golden_snippets import SNIPPETS, VARIABLES

ROOT = Path(__file__).resolve().parent.parent
TEMPLATES = ROOT / "tests" / "text" / "templates"
OUT = ROOT / "tests" / "text" / "goldens" / "templates.json"

TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather <now> & 'here'\nin a city – 日本 too.",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "description": 'the "city"'},
                "days": {"type": "integer", "default": 3},
                "share": {"type": ["number", "null"], "minimum": 1e-7, "maximum": 1e22},
                "tags": {"type": "array", "items": {"type": "string"}},
                "extra": {"type": "object", "additionalProperties": {"type": "boolean"}},
            },
            "required": ["days", "city"],
        },
    },
}
CALL = {
    "id": "abcdef123",
    "type": "function",
    "function": {"name": "get_weather", "arguments": {"city": 'Zürich "ZH"', "days": 2}},
}
SYSTEM = {"role": "system", "content": "  You are <b>brief</b>.\n"}
USER = {"role": "user", "content": " Hello 'world' \U0001f600\n"}
ASSISTANT = {"role": "assistant", "content": "<think>\nhm\n</think>\n\nHi!"}
CONVERSATIONS = {
    "one turn": [USER],
    "system": [SYSTEM, USER],
    "long": [SYSTEM, USER, ASSISTANT, {"role": "user", "content": "More?"}],
    "answered": [USER, ASSISTANT],
    "wrong order": [USER, USER],
    "assistant first": [ASSISTANT],
    "tools": [
        USER,
        {"role": "assistant", "content": "", "tool_calls": [CALL]},
        {"role": "tool", "name": "get_weather", "content": "22 °C", "tool_call_id": "abcdef123"},
        {"role": "assistant", "content": "It is warm."},
        USER,
    ],
    "tool answers last": [
        SYSTEM,
        USER,
        {"role": "assistant", "content": "wait", "tool_calls": [CALL]},
        {"role": "tool", "content": "1", "tool_call_id": "abcdef123"},
        {"role": "tool", "content": "2", "tool_call_id": "abcdef123"},
    ],
    "parts": [
        {"role": "user", "content": [{"type": "text", "text": " a "}, {"type": "image"}]},
    ],
    "none": [],
}


class GenerationTag(Extension):
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return nodes.CallBlock(self.call_method("_render"), [], [], body).set_lineno(line)

    def _render(self, caller):
        return caller()


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(
        x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def environment():
    env = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[GenerationTag, loopcontrols]
    )
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = lambda text: text.replace("%%", "%")
    return env


def render(env, source, variables):
    try:
        return {"text": env.from_string(source).render(**variables)}
    except (jinja2.TemplateSyntaxError, SyntaxError):
        return {"error": "compile"}
    except jinja2.exceptions.TemplateError as e:
        raised = type(e) is jinja2.exceptions.TemplateError
        return {"error": "raised", "message": str(e)} if raised else {"error": "render"}
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        return {"error": "render"}


def main():
    env = environment()
    cases = []
    for source in SNIPPETS:
        cases.append({"source": source, "variables": None} | render(env, source, VARIABLES))
    for path in sorted(TEMPLATES.glob("*.jinja")):
        source = path.read_text(encoding="utf-8")
        for name, messages in CONVERSATIONS.items():
            for extra in [{}, {"add_generation_prompt": True}, {"tools": [TOOL, TOOL]}]:
                variables = {
                    "messages": messages,
                    "bos_token": "<s>",
                    "eos_token": "</s>",
                    "date_string": "23 Nov 2026",
                    "add_generation_prompt": False,
                } | extra
                case = {"file": path.name, "name": name, "variables": variables}
                cases.append(case | render(env, source, variables))
    document = {"variables": VARIABLES, "cases": cases}
    OUT.write_text(json.dumps(document, ensure_ascii=True, indent=0), encoding="utf-8")
    kinds = [c.get("error", "text") for c in cases]
    print({k: kinds.count(k) for k in sorted(set(kinds))})


if __name__ == "__main__":
    main()
