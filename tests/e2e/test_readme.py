"""What the README tells to type, as it stands there but for the address."""

import json
import re
import shlex
import subprocess
import sys

import grpc
import pytest
from daemon import REPOSITORY, run_dejavu
from google.protobuf import json_format
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

README = (REPOSITORY / "README.md").read_text()
# Indented commands, with the lines that a backslash or a comment of the output continues.
COMMANDS = re.findall(r"^    ((?:curl|grpcurl) (?:.*\\\n)*.*)$", README, re.M)
OWN_COMMANDS = re.findall(r"^    build/dejavu ([^#\n]*?) *#", README, re.M)
# How much of it: the examples take a user minutes, with texts and models of a user's size.
LITTLE = {
    "generate": {"DEJAVU_MAX_TOKENS": "8"},
    "bench": {"DEJAVU_ROUNDS": "1", "DEJAVU_PREFILL_TOKENS": "0"},
    "bench serve": {"DEJAVU_NUM_PROMPTS": "4"},
    "analyze": {"DEJAVU_MAX_TOKENS": "1024"},
    "calibrate": {
        "DEJAVU_MAX_TOKENS": "4096",
        "DEJAVU_TRAIN": "false",
        "DEJAVU_HEADS": "false",
        "DEJAVU_RANK": "8",
        "DEJAVU_TARGET_RECALL": "0.98",
    },
    "eval": {"DEJAVU_MAX_TOKENS": "512"},
}


def for_this(daemon, text):
    return text.replace("127.0.0.1:8000", daemon.http_address).replace("127.0.0.1:50051", daemon.grpc_address)


def commands(program):
    return [one for one in COMMANDS if one.startswith(f"{program} ")]


@pytest.mark.parametrize("command", commands("curl"))
def test_curl(daemon, command):
    done = subprocess.run(
        ["bash", "-c", for_this(daemon, command.replace("curl ", "curl -sS --fail-with-body ", 1))],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    answer = json.loads(done.stdout)
    assert answer["choices"][0]["text"].strip()
    if '"sparsity"' in command:
        assert answer["sparsity"]["mode"] == "exact"


def test_python(daemon):
    (script,) = re.findall(r"^```python\n(.*?)^```$", README, re.M | re.S)
    done = subprocess.run([sys.executable, "-c", for_this(daemon, script)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.split()) > 3


def test_grpcurl(daemon):
    """What grpcurl does with its arguments: the method and its messages are found by reflection."""
    (command,) = commands("grpcurl")
    _, plaintext, data_flag, data, address, name = shlex.split(for_this(daemon, command.replace("\\\n", "")))
    assert (plaintext, data_flag, address) == ("-plaintext", "-d", daemon.grpc_address)
    service, method = name.split("/")
    with grpc.insecure_channel(address) as channel:
        pool = DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
        rpc = pool.FindServiceByName(service).methods_by_name[method]
        assert rpc.server_streaming
        answers = channel.unary_stream(
            f"/{name}",
            request_serializer=GetMessageClass(rpc.input_type).SerializeToString,
            response_deserializer=GetMessageClass(rpc.output_type).FromString,
        )(json_format.Parse(data, GetMessageClass(rpc.input_type)(), descriptor_pool=pool))
        assert "".join(answer.choice.text for answer in answers).strip()


@pytest.mark.parametrize("command", OWN_COMMANDS)
def test_own_command(daemon, command, tmp_path):
    name = re.match(r"[a-z]+(?: serve)?", command).group(0)
    text = tmp_path / "text.txt"
    text.write_text(
        "Once upon a time there was a snail who wanted to see the sea. It was slow, but it was brave.\n" * 300
    )
    stand_ins = {"MODEL": REPOSITORY / "models/demo", "FILE": text, "DIR": tmp_path / "out", "opt-1.3b": "opt-125m"}
    words = [str(stand_ins.get(word, word)) for word in shlex.split(for_this(daemon, command))]
    done = run_dejavu(*words, env={"DEJAVU_URL": daemon.url, **LITTLE.get(name, {})}, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    if name == "calibrate":
        assert (tmp_path / "out" / "sparsity.json").exists()
    elif name != "health":
        assert done.stdout.strip()


def test_options_are_there():
    """Every flag that the README names belongs to a command."""
    commands = {re.match(r"[a-z]+(?: serve)?", one).group(0) for one in OWN_COMMANDS} | {"serve"}
    known = set().union(
        *(re.findall(r"--(?:\[no-\])?([a-z][a-z-]*)", run_dejavu(*one.split(), "--help").stdout) for one in commands)
    )
    named = set(re.findall(r"`(?:[^`]* )?--([a-z][a-z-]*)", README)) | set(
        re.findall(r"(?<=dejavu ).* --([a-z-]+)", README)
    )
    assert {"sparsity", "port"} <= named
    assert {flag.removeprefix("no-") for flag in named} <= known


def test_no_example_is_left_out():
    assert len(OWN_COMMANDS) == README.count("\n    build/dejavu ") >= 8
    assert len(commands("curl")) == 2
    assert len(commands("grpcurl")) == 1
