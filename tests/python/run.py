"""Runs the Python session against a daemon: makes a virtual environment, generates the stubs, starts the
daemon on a data directory of its own, and gives the tests its address. Needs nothing but the standard library.

    python3 tests/python/run.py --daemon target/debug/tapeline

Ends with 0 if all tests passed, 77 if the machine lacks something (the last line says what), else 1.
"""

import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
SKIPPED = 77
# How long the installation, and the tests, may take on a loaded machine.
PATIENCE_SECONDS = 240
# What pip says when there is no network; anything else that it says is a failure. The first is what it says of
# an index that it cannot reach: of one that lacks a version, it names the others.
NO_NETWORK = (
    "(from versions: none)",
    "NewConnectionError",
    "ConnectTimeoutError",
    "ProxyError",
    "Read timed out",
    "Temporary failure in name resolution",
    "Network is unreachable",
)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--daemon", required=True, type=pathlib.Path, help="the tapeline binary")
    parser.add_argument("--work", type=pathlib.Path, default=ROOT / "target/python", help="kept between runs")
    parser.add_argument("tests", nargs="*", help="names of tests, as unittest takes them; all if there are none")
    options = parser.parse_args()
    if sys.version_info < (3, 9):
        skip(f"Python 3.9 or later is needed, this is {sys.version.split()[0]}")
    python = environment(options.work)
    stubs = generate(python, options.work / "stubs")
    with Daemon(options.daemon.resolve()) as daemon:
        tests = options.tests or ["discover", "-s", str(HERE), "-t", str(HERE)]
        variables = dict(os.environ, PYTHONPATH=f"{stubs}{os.pathsep}{HERE}", TAPELINE_ADDRESS=daemon.address)
        command = [str(python), "-B", "-X", "utf8", "-m", "unittest", *tests, "--verbose"]
        passed = succeeds(command, env=variables, cwd=HERE)
        if not passed:
            print("the daemon's log:", daemon.log(), sep="\n", flush=True)
    sys.exit(0 if passed else 1)


def environment(work):
    """The interpreter of a virtual environment with the pinned packages; made anew when something changed."""
    directory = work / "venv"
    python = directory / "bin/python"
    made_of = directory / "made-of"
    wanted = f"{sys.version}\n{(HERE / 'requirements.txt').read_text()}"
    if made_of.is_file() and made_of.read_text() == wanted:
        return python
    shutil.rmtree(directory, ignore_errors=True)
    made = quietly([sys.executable, "-m", "venv", str(directory)])
    if made.returncode != 0:
        skip(f"python3 makes no virtual environment: {last_line(made.stdout)}")
    install = ["-m", "pip", "install", "--quiet", "--only-binary", ":all:", "-r", str(HERE / "requirements.txt")]
    installed = quietly([str(python), *install])
    if installed.returncode != 0:
        if any(sign in installed.stdout for sign in NO_NETWORK):
            skip("pip has no network")
        sys.exit(f"pip cannot install the requirements:\n{installed.stdout}")
    made_of.write_text(wanted)
    return python


def generate(python, stubs):
    """Generates the stubs of all services of the project."""
    shutil.rmtree(stubs, ignore_errors=True)
    stubs.mkdir(parents=True)
    protos = sorted(str(path.relative_to(ROOT / "proto")) for path in (ROOT / "proto").rglob("*.proto"))
    command = [str(python), "-m", "grpc_tools.protoc", "-I", "."]
    command += [f"--python_out={stubs.resolve()}", f"--grpc_python_out={stubs.resolve()}", *protos]
    generated = quietly(command, cwd=ROOT / "proto")
    if generated.returncode != 0:
        sys.exit(f"the stubs cannot be generated:\n{generated.stdout}")
    return stubs.resolve()


class Daemon:
    """A daemon on any free port with an empty store. Killed at the end."""

    def __init__(self, binary):
        self.directory = tempfile.TemporaryDirectory(prefix="tapeline-python-")
        self.log_path = pathlib.Path(self.directory.name, "log")
        data = pathlib.Path(self.directory.name, "data")
        variables = {name: value for name, value in os.environ.items() if not name.startswith("TAPELINE_")}
        with open(self.log_path, "w") as log:
            command = [str(binary), "serve", "--listen", "127.0.0.1:0", "--data-dir", str(data)]
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, env=variables, text=True)

    def __enter__(self):
        ready = self.process.stdout.readline()
        words = ready.split()
        if words[:3] != ["tapeline", "ready", "on"]:
            self.__exit__()
            sys.exit(f"the daemon is not ready: {ready!r}")
        self.address = words[3]
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.directory.cleanup()

    def log(self):
        return self.log_path.read_text()


def succeeds(command, **options):
    try:
        return subprocess.run(command, timeout=PATIENCE_SECONDS, **options).returncode == 0
    except subprocess.TimeoutExpired:
        print(f"not done within {PATIENCE_SECONDS} s", flush=True)
        return False


def quietly(command, **options):
    options.update(stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        return subprocess.run(command, timeout=PATIENCE_SECONDS, **options)
    except subprocess.TimeoutExpired:
        sys.exit(f"not done within {PATIENCE_SECONDS} s: {' '.join(command)}")


def last_line(text):
    return (text.strip().splitlines() or [""])[-1]


def skip(reason):
    print(f"SKIPPED: {reason}", flush=True)
    sys.exit(SKIPPED)


if __name__ == "__main__":
    main()
