"""The Debian package: built by CPack, read by dpkg, its pages by groff and bash, its units by systemd."""

import re
import shutil
import subprocess

import pytest
from daemon import BINARY, Daemon, clean_environment
from manifests import REPOSITORY

BUILD = BINARY.parent


def output_of(*command, **options):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=300, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    if not (BUILD / "CPackConfig.cmake").exists():
        pytest.skip(f"{BUILD} is no build folder")
    out = tmp_path_factory.mktemp("package")
    output_of("cpack", "-G", "DEB", "--config", BUILD / "CPackConfig.cmake", "-B", out)
    (file,) = out.glob("*.deb")
    return file


@pytest.fixture(scope="module")
def installed(package, tmp_path_factory):
    root = tmp_path_factory.mktemp("root")
    output_of("dpkg-deb", "--extract", package, root)
    return root


def test_name_and_dependencies(package):
    fields = dict(
        line.split(": ", 1) for line in output_of("dpkg-deb", "--field", package).splitlines() if ": " in line
    )
    version = output_of(BINARY, "--version").split()[1]
    assert (fields["Package"], fields["Version"]) == ("dejavu", version)
    assert package.name == f"dejavu_{version}_{fields['Architecture']}.deb"
    depends = {entry.split()[0] for entry in fields["Depends"].split(", ")}
    wanted = output_of(
        "bash", "-c", '. scripts/lib.sh; printf "%s\\n" "${runtime_packages[@]}"', cwd=REPOSITORY
    ).split()
    # A library's own name, or one that says more of it: libspdlog1.10-fmt9.
    assert [name for name in wanted if not any(f"{one}-".startswith(f"{name}-") for one in depends)] == []


def test_maintainer_scripts_are_shell(package, tmp_path):
    output_of("dpkg-deb", "--control", package, tmp_path)
    scripts = [tmp_path / name for name in ("postinst", "prerm", "postrm")]
    for script in scripts:
        output_of("sh", "-n", script)
    # What is configured stays as the administrator left it.
    assert (tmp_path / "conffiles").read_text() == "/etc/dejavu/dejavu.toml\n"


def test_removal_disables_every_instance(package, tmp_path):
    output_of("dpkg-deb", "--control", package, tmp_path / "control")
    wants = tmp_path / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir(parents=True)
    for name in ("dejavu.service", "dejavu@a.service", "dejavu@b.service", "nginx.service"):
        (wants / name).symlink_to(f"/lib/systemd/system/{name}")
    prerm = (tmp_path / "control" / "prerm").read_text().replace("/run/systemd/system", str(tmp_path / "not-booted"))
    for action, left in (("upgrade", 4), ("remove", 1), ("remove", 1)):
        output_of("sh", "-c", prerm, "prerm", action, env=clean_environment({"DPKG_ROOT": str(tmp_path)}))
        assert len(list(wants.iterdir())) == left, action
    assert [link.name for link in wants.iterdir()] == ["nginx.service"]


def test_changelog_and_copyright(package, installed):
    folder = installed / "usr/share/doc/dejavu"
    changelog = output_of("dpkg-parsechangelog", "-l", folder / "changelog.gz")
    fields = dict(line.split(": ", 1) for line in changelog.splitlines() if ": " in line)
    for name in ("Version", "Maintainer"):
        assert fields[name] == output_of("dpkg-deb", "--field", package, name).strip()
    text = (folder / "copyright").read_text()
    assert text.startswith("Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n")
    assert "/usr/share/common-licenses/Apache-2.0" in text


def test_lintian_finds_nothing(package):
    if shutil.which("lintian") is None:
        pytest.skip("lintian is not installed")
    assert output_of("lintian", "--allow-root", "--fail-on", "error,warning", package) == ""


def test_the_installed_daemon_serves_its_demo_model(installed, monkeypatch):
    monkeypatch.setattr("daemon.BINARY", installed / "usr" / "bin" / "dejavu")
    daemon = Daemon("--kv-cache-memory", "64M").wait_ready()
    try:
        assert str(installed) in daemon.log, "the demo model is not the package's"
        answer = daemon.post("/v1/completions", {"prompt": "Once", "max_tokens": 4})
        assert answer.status_code == 200
    finally:
        assert daemon.stop() == 0, daemon.log


@pytest.mark.parametrize("name", ["dejavu", "dejavu@"])
def test_systemd_reads_the_units(installed, tmp_path, name):
    text = (installed / "usr/lib/systemd/system" / f"{name}.service").read_text()
    option = "%i" if name.endswith("@") else "dejavu"
    assert f"serve --config /etc/dejavu/{option}.toml" in text
    assert "Type=notify" in text
    copy = tmp_path / f"{name}{'a' if name.endswith('@') else ''}.service"
    copy.write_text(text.replace("/usr/bin/dejavu", str(BINARY)))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", copy], capture_output=True, text=True, timeout=60)
    complaints = [line for line in done.stderr.splitlines() if copy.name in line]
    assert (done.returncode, complaints) == (0, [])


def test_the_manual_page_has_every_option_and_groff_no_complaint(installed):
    page = installed / "usr/share/man/man1/dejavu.1.gz"
    source = subprocess.run(["gzip", "-dc", page], capture_output=True, check=True).stdout
    done = subprocess.run(["groff", "-man", "-Tutf8", "-ww"], input=source, capture_output=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, b"")
    # Bold and italics come as escapes or as overstrikes.
    text = re.sub(r"\x1b\[[0-9;]*m|.\x08", "", done.stdout.decode())
    options = set(re.findall(r"`(--[a-z-]+)`", (REPOSITORY / "docs" / "options.md").read_text()))
    assert len(options) > 60
    for option in options:
        assert re.search(rf"^\s+(-\w, )?{option}\b", text, re.M), option
    for heading in ("NAME", "SYNOPSIS", "EXIT STATUS"):
        assert re.search(rf"^{heading}", text, re.M)


def complete(script, *words):
    """What bash offers for the last word."""
    array = " ".join(f"'{word}'" for word in words)
    ask = f"source {script}; COMP_WORDS=({array}); COMP_CWORD={len(words) - 1}; _dejavu; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    return output_of("bash", "--norc", "-c", ask, env=clean_environment()).split()


def test_completion(installed):
    script = installed / "usr/share/bash-completion/completions/dejavu"
    assert complete(script, "dejavu", "gen") == ["generate"]
    assert complete(script, "dejavu", "serve", "--drain") == ["--drain-grace", "--drain-timeout"]
    assert "--drain-grace" not in complete(script, "dejavu", "generate", "--d")
    assert complete(script, "dejavu", "serve", "--device", "c") == ["cpu", "cuda"]
    assert complete(script, "dejavu", "serve", "--device", "=", "cu") == ["cuda"]
    assert "--url" in complete(script, "dejavu", "bench", "serve", "--")
    assert "--url" not in complete(script, "dejavu", "bench", "--")
    assert complete(script, "dejavu", "serve", str(REPOSITORY / "CONTRIB")) == [str(REPOSITORY / "CONTRIBUTING.md")]
