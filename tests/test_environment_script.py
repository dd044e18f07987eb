"""The Makefile makes its environments with uv, by pip's settings, and with pip where anything about uv fails."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import tomllib
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


@pytest.fixture
def others(script, monkeypatch, venv, tmp_path):
    """A function that makes an environment by options; ``venv`` and uv's ``venv`` copy one whose programs log."""
    log = tmp_path / "log"
    for program in ("python3", "uv"):
        (tmp_path / program).write_text(
            f"#!/bin/sh\necho {program} $* >> {log}\n"
            f'case "$*" in *venv*) for last; do :; done; test "$last" = {tmp_path}/none && exit 3\n'
            f"mkdir -p $last; cp -r {venv}/. $last/ ;;\n"
            "*install*) test ! -e no-install || exit 3 ;; *outdated*) echo 'langgraph 1.2 1.3' ;; esac\n"
        )
        (tmp_path / program).chmod(0o755)
    monkeypatch.setattr(script.sys, "executable", str(tmp_path / "python3"))
    monkeypatch.setattr(script, "lacks", lambda headers: "")
    monkeypatch.chdir(tmp_path)

    def made(folder, *options):
        script.main([str(tmp_path / folder), "dev", str(tmp_path / "uv"), *options])
        return [line for line in log.read_text().splitlines() if not line.endswith("--version")]

    return made


HERE = ".".join(map(str, sys.version_info[:2]))


def test_another_python_is_made_by_uv_and_gets_the_lowest_versions(others, tmp_path):
    log = others("made", "--on", "9.9", "--lowest")
    assert f"uv venv --seed --clear --python 9.9 {tmp_path}/made" in log
    python = f"{tmp_path}/made/bin/python"
    assert log[-1] == f"uv pip install --python {python} --resolution lowest-direct --upgrade -e .[dev,dev-compiled]"


def test_the_python_that_runs_needs_no_uv_to_make_an_environment(others, tmp_path):
    log = others("made", "--on", HERE)
    assert log[0] == f"python3 -m venv {tmp_path}/made"
    assert log[1:] == [f"uv pip install --python {tmp_path}/made/bin/python -e .[dev,dev-compiled]"]


def test_the_newest_versions_are_installed_and_what_is_held_back_is_told(others, tmp_path, capfd):
    log = others("made", "--newest")
    assert log[1] == f"uv pip install --python {tmp_path}/made/bin/python --upgrade -e .[dev,dev-compiled]"
    assert log[2].startswith("uv pip list --outdated")
    said = capfd.readouterr().out
    assert said.index("something holds them back") < said.index("langgraph 1.2 1.3")


def test_a_python_that_is_not_to_be_had_is_named(others):
    with pytest.raises(SystemExit, match=r"no Python 9\.9 is on the PATH, and uv could not fetch it"):
        others("none", "--on", "9.9")


@pytest.mark.parametrize("which", ["lowest", "newest"])
def test_pip_installs_no_other_versions_in_the_place_of_uv(others, tmp_path, which):
    (tmp_path / "no-install").touch()
    with pytest.raises(SystemExit, match=f"the {which} versions are not installed: uv could not install"):
        others("made", f"--{which}")
    assert "pip install" not in (tmp_path / "made" / "log").read_text()


def test_a_target_for_each_python_that_the_package_names():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = [row.rpartition(" ")[2] for row in project["classifiers"] if re.search(r"Python :: 3\.\d+$", row)]
    assert project["requires-python"] == f">={named[0]}"
    done = subprocess.run(["make", "-B", "-n", "versions"], cwd=ROOT, capture_output=True, text=True, check=True)
    made = re.findall(r"environment\.py (\S+) (\S+) (.*)", done.stdout)
    asked = [(f".venv-{version}", f"--on {version}") for version in named]
    asked += [(".venv-lowest", f"--on {named[0]} --lowest"), (".venv-newest", f"--on {named[-1]} --newest")]
    for folder, options in asked:
        other = folder.replace(".venv", ".venv-inspect")
        assert [row[2].endswith(options) for row in made if row[:2] == (folder, "dev")] == [True]
        assert [row[2].endswith(options) for row in made if row[:2] == (other, "dev-inspect")] == [True]
        assert f"{folder}/bin/python -m pytest" in done.stdout
    assert "rm -f .venv-newest/.dev .venv-inspect-newest/.dev" in done.stdout


@pytest.mark.parametrize(
    ("programs", "headers", "options", "lacking"),
    [
        ([], True, [], "C compiler"),
        ([], True, ["--on", "9.9"], "C compiler"),
        (["gcc"], False, [], "Python.h"),
        (["gcc"], True, [], ""),
    ],
)
def test_what_is_compiled_is_left_out_where_it_cannot_be(
    script, monkeypatch, capsys, programs, headers, options, lacking
):
    monkeypatch.setattr(script.shutil, "which", lambda name: name if name in programs else None)
    monkeypatch.setattr(script.os.path, "exists", lambda place: headers)
    assert script.extras_of(script.read(["venv", "dev", *options])) == ("dev" if lacking else "dev,dev-compiled")
    assert script.extras_of(script.read(["venv", "demo", *options])) == "demo"
    told = capsys.readouterr().out
    assert (f"there is no {lacking}, so" in told and "apt install gcc python3-dev" in told) is bool(lacking)


def test_what_needs_no_compiler_is_pinned_once():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    compiled = {"textworld", "reasoning-gym"}
    assert {row for row in extras["tasks"] if row.partition("==")[0] not in compiled} == {
        row for row in extras["dev"] if "==" in row.partition(";")[0]
    }


@pytest.mark.parametrize(
    ("programs", "there", "headers", "lacking"),
    [
        (["cc"], True, True, ""),
        (["gcc"], True, True, ""),
        (["cc"], False, False, ""),
        (["cc"], False, True, "Python.h"),
    ],
)
def test_a_fetched_python_has_headers_of_its_own(script, monkeypatch, programs, there, headers, lacking):
    monkeypatch.setattr(script.shutil, "which", lambda name: name if name in programs else None)
    monkeypatch.setattr(script.os.path, "exists", lambda place: there)
    assert script.lacks(headers=headers) == lacking


def test_without_venv_the_package_to_install_is_named(script, monkeypatch, tmp_path):
    broken = tmp_path / "python3"
    broken.write_text("#!/bin/sh\necho 'Error: ensurepip is not available'\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(script.sys, "executable", str(broken))
    with pytest.raises(SystemExit, match="ensurepip is not available; on Debian and Ubuntu: apt install python3-venv"):
        script.main([str(tmp_path / "venv"), "demo"])
