"""Makes what the tests need beside Python's packages; `python -m tests.needs` says what could not be had.

The programs come from Debian's packages where this is root and has apt. Without them their tests are skipped, except
in CI, where they fail.
"""

import os
import shutil
import subprocess
import sys

PROGRAMS = {  # program -> Debian's packages
    "cc": "gcc libc6-dev",
    "chromium": "chromium",
    "openssl": "openssl",
    "prometheus": "prometheus",
    "promtool": "prometheus",
    "redis-server": "redis-server",
    "systemd-analyze": "systemd",
}


def missing() -> list[str]:
    """The programs that are not there."""
    return [program for program in PROGRAMS if shutil.which(program) is None]


def installable() -> bool:
    """Whether packages can be installed without asking anybody."""
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def install(programs: list[str]) -> None:
    """Install the packages of programs; services are not started."""
    packages = [package for program in programs for package in PROGRAMS[program].split()]
    print(f"Installing {' '.join(packages)} ...", flush=True)
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    for command in (["update", "-q"], ["install", "-y", "-q", "--no-install-recommends", *packages]):
        subprocess.run(["apt-get", *command], env=env, stdout=subprocess.DEVNULL, check=False)


def main() -> int:
    """Install what is missing if that is possible; 1 in CI when something still is."""
    if missing() and installable():
        install(missing())
    for program in missing():
        print(f"Not here: {program} (Debian: {PROGRAMS[program]}). The tests that need it will be skipped.")
    return 1 if missing() and os.environ.get("CI") else 0


if __name__ == "__main__":
    sys.exit(main())
