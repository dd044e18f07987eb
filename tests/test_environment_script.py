"""The Makefile makes its environments with uv, by pip's settings, and with pip where anything about uv fails."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

PYTHON = """#!/bin/sh
here=$(dirname "$0")
echo "python $*" >> "$here/../log"
case "$*" in
*"pip config list"*) cat "$here/../settings" ;;
*"pip install"*" uv") test ! -e "$here/../no-uv" || { echo "ERROR: No matching distribution found for uv"; exit 1; }
    cp "$here/../uv" "$here/uv" ;;
*"pip install"*) test ! -e "$here/../no-package" || { echo "ERROR: no such package"; exit 1; }; echo installed ;;
esac
"""
UV = """#!/bin/sh
echo "uv $* index=$UV_DEFAULT_INDEX" >> "$(dirname "$0")/../log"
case "$*" in --version) exit 0 ;; esac
echo "Resolved 68 packages in 1.05s"
echo " + numpy==2.0"
"""
AGENT = "#!/bin/sh\necho the demo runs\n"


@pytest.fixture
def venv(tmp_path):
    """An environment whose programs write down what they were asked, and install nothing."""
    folder = tmp_path / "venv"
    (folder / "bin").mkdir(parents=True)
    for name, text in (("bin/python", PYTHON), ("uv", UV), ("bin/ec-agent", AGENT)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    (folder / "settings").write_text("global.index-url='https://user:secret@packages.test/simple'\n")
    return folder


def make(venv, *words):
    hidden = {name: value for name, value in os.environ.items() if not name.startswith(("UV_", "MAKE", "INSTALLER"))}
    command = ["make", "demo", f"VENV={venv}", f"PYTHON={sys.executable}", *words]
    done = subprocess.run(command, cwd=ROOT, env=hidden, capture_output=True, text=True, check=False, timeout=60)
    log = (venv / "log").read_text().splitlines() if (venv / "log").exists() else []
    return done, [line for line in log if "install" in line]


def test_uv_is_fetched_and_installs_from_the_index_that_pip_has(venv):
    done, installed = make(venv)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line.split()[0] for line in installed] == ["python", "uv"]
    assert installed[0].endswith(" uv")
    assert "-e .[demo]" in installed[1]
    assert f"--python {venv}/bin/python" in installed[1]
    assert installed[1].endswith("index=https://user:secret@packages.test/simple")
    said = done.stdout.splitlines()
    assert "  Resolved 68 packages in 1.05s" in said
    assert said[-1] == "the demo runs"
    assert "numpy" not in done.stdout
    assert "secret" not in done.stdout + done.stderr


def test_what_was_made_is_not_made_again(venv):
    make(venv)
    done, installed = make(venv)
    assert done.stdout == "the demo runs\n"
    assert len(installed) == 2


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda venv: (venv / "no-uv").touch(), "uv cannot be fetched (ERROR: No matching distribution found for uv)"),
        (lambda venv: (venv / "uv").write_text("#!/bin/sh\nexit 3\n"), "uv could not install (exit 3)"),
        (
            lambda venv: (venv / "uv").write_text(
                '#!/bin/sh\ntest "$1" = --version || echo "error: no tls" && exit 2\n'
            ),
            "uv could not install (error: no tls)",
        ),
        (lambda venv: (venv / "uv").write_bytes(b"\x7fELF of another machine"), "uv could not install (uv: "),
        (
            lambda venv: (venv / "settings").write_text("install.target='/secret/place'\n"),
            "pip is set to 'target', which uv does not know",
        ),
    ],
    ids=["uv is not to be had", "uv ends without a word", "uv fails", "uv is no program", "pip is set otherwise"],
)
def test_where_anything_about_uv_fails_pip_installs_and_a_line_says_why(venv, change, said):
    change(venv)
    done, installed = make(venv)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"environment: {said}" in done.stdout
    assert "pip installs instead" in done.stdout
    assert installed[-1].startswith("python -m pip install")
    assert installed[-1].endswith("-e .[demo]")
    assert "secret" not in done.stdout + done.stderr
    assert done.stdout.endswith("the demo runs\n")


def test_the_uv_of_another_environment_is_taken(venv, tmp_path):
    (tmp_path / "other").mkdir()
    (venv / "uv").rename(tmp_path / "other" / "uv")
    script = [sys.executable, ROOT / ".ci" / "environment.py", venv, "demo"]
    for uv, used in ((tmp_path / "other" / "uv", tmp_path / "log"), (tmp_path / "none", None)):
        done = subprocess.run([*script, uv], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr
        assert ("fetching uv" in done.stdout) == (used is None)
        assert used is None or "uv pip install" in used.read_text()


def test_uv_can_be_left_out(venv):
    done, installed = make(venv, "INSTALLER=pip")
    assert "INSTALLER is pip; pip installs instead" in done.stdout
    assert [line.split()[0] for line in installed] == ["python"]


def test_where_pip_fails_too_it_is_said_in_one_line_and_nothing_counts_as_made(venv):
    (venv / "no-uv").touch()
    (venv / "no-package").touch()
    done, _ = make(venv)
    assert done.returncode != 0
    assert "environment: ERROR: no such package" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (venv / ".demo").exists()


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("environment_script", ROOT / ".ci" / "environment.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("settings", "variables", "options"),
    [
        ([], {}, []),
        (["global.index-url='https://a.test/simple'"], {"UV_DEFAULT_INDEX": "https://a.test/simple"}, []),
        (
            [
                "global.index-url='https://a.test'",
                "install.index-url='https://b.test'",
                "download.index-url='https://c.test'",
            ],
            {"UV_DEFAULT_INDEX": "https://b.test"},
            [],
        ),
        (
            [":env:.index-url='https://e.test'", "install.index-url='https://b.test'"],
            {"UV_DEFAULT_INDEX": "https://e.test"},
            [],
        ),
        (
            ["global.extra-index-url='\\nhttps://a.test\\nfile:///b'"],
            {"UV_INDEX": "https://a.test file:///b", "UV_INDEX_STRATEGY": "unsafe-best-match"},
            [],
        ),
        (["global.find-links='/there /gone https://c.test/l'"], {"UV_FIND_LINKS": "/there,https://c.test/l"}, []),
        (["global.find-links='/gone'"], {}, []),
        (
            ["global.cert='/c.pem'", "global.constraint='/x.txt /y.txt'", ":env:.default-timeout='180'"],
            {"SSL_CERT_FILE": "/c.pem", "UV_CONSTRAINT": "/x.txt /y.txt", "UV_HTTP_TIMEOUT": "180"},
            [],
        ),
        (
            ["global.proxy='http://p.test'", "global.trusted-host='a.test b.test'"],
            {
                **dict.fromkeys(("ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY"), "http://p.test"),
                "UV_INSECURE_HOST": "a.test b.test",
            },
            [],
        ),
        (["install.no-index='true'", "install.pre='false'"], {}, ["--no-index"]),
        (["install.only-binary='numpy,scipy'"], {}, ["--only-binary", "numpy", "--only-binary", "scipy"]),
        (["global.quiet='1'", ":env:.disable-pip-version-check='1'", "list.format='columns'"], {}, []),
    ],
    ids=range(12),
)
def test_what_pip_is_set_to_is_said_to_uv(script, settings, variables, options):
    assert script.settings_for_uv(settings, exists=lambda place: place == "/there") == (variables, options)


@pytest.mark.parametrize("setting", ["require-hashes", "user", "prefix", "prefer-binary", "no-such-setting"])
def test_what_uv_does_not_know_is_named_without_its_value(script, setting):
    with pytest.raises(script.FailedError, match=f"'{setting}'") as raised:
        script.settings_for_uv([f"global.{setting}='secret'"])
    assert "secret" not in str(raised.value)


def test_pip_itself_writes_its_settings_in_the_form_that_is_read(script, tmp_path):
    """A real pip, with a file of settings of several lines and a variable."""
    file = tmp_path / "pip.conf"
    file.write_text(
        "[global]\nindex-url = https://a.test/simple\n[install]\nextra-index-url =\n  https://b.test\n  https://c.test\n"
    )
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"],
        env={**clean, "PIP_CONFIG_FILE": str(file), "PIP_TIMEOUT": "7", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    variables, _ = script.settings_for_uv(listed.stdout.splitlines())
    assert variables["UV_DEFAULT_INDEX"] == "https://a.test/simple"
    assert variables["UV_INDEX"] == "https://b.test https://c.test"
    assert variables["UV_HTTP_TIMEOUT"] == "7"


def test_a_python_that_is_too_old_is_told_so(script, monkeypatch):
    monkeypatch.setattr(script.sys, "version_info", (3, 9, 2))
    with pytest.raises(SystemExit, match=r"needs Python 3\.11 or later, and this is 3\.9; name another: make PYTHON"):
        script.main(["folder", "demo"])


def test_without_venv_the_package_to_install_is_named(script, monkeypatch, tmp_path):
    broken = tmp_path / "python3"
    broken.write_text("#!/bin/sh\necho 'Error: ensurepip is not available'\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(script.sys, "executable", str(broken))
    with pytest.raises(SystemExit, match="ensurepip is not available; on Debian and Ubuntu: apt install python3-venv"):
        script.main([str(tmp_path / "venv"), "demo"])
