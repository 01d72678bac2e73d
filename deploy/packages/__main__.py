"""`python -m deploy.packages`: fetch the pinned wheels, and make Debian packages of them.

    wheelhouse [PART...]    dist/wheelhouse: what platform, fallback and edge need (all, if none is named)
    deb PART                dist/vigil-PART_VERSION_ARCH.deb

Only `wheelhouse` speaks to a registry; every file that comes from there has its hash in constraints.txt.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final

from deploy.embedded.lock import pins
from deploy.packages import debian
from deploy.packages.closure import PARTS, closure, subset
from vigil.errors import Stop

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

ROOT: Final = Path(__file__).resolve().parents[2]
DIST: Final = ROOT / "dist"


def run(*argv: str | Path) -> str:
    """Run a program; return what it said.

    Raises:
        Stop: It failed, or is not here.
    """
    try:
        done = subprocess.run(  # noqa: S603 - pip and dpkg, with arguments of ours
            [str(part) for part in argv], cwd=ROOT, capture_output=True, text=True, check=False
        )
    except OSError as error:
        raise Stop(f"{argv[0]}: {error.strerror}") from None
    if done.returncode:
        raise Stop(f"{argv[0]} failed: {' | '.join(done.stderr.splitlines()[-3:])}")
    return done.stdout.strip()


def pip_wheel(folder: Path, *what: str | Path) -> None:
    """Have pip put wheels into a folder, of these and of nothing that they ask for."""
    run(
        sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet", "--no-deps",
        "--wheel-dir", folder, *what,
    )  # fmt: skip


def known(parts: Sequence[str]) -> Sequence[str]:
    """Return the parts that are named, or all.

    Raises:
        Stop: There is no such part.
    """
    if unknown := set(parts) - PARTS.keys():
        raise Stop(f"{', '.join(sorted(unknown))}: parts are {', '.join(PARTS)}")
    return parts or tuple(PARTS)


def wheelhouse(parts: Iterable[str], folder: Path) -> None:
    """Fill a folder with what parts need: pinned packages and Vigil itself."""
    names = {name for part in parts for name in closure(PARTS[part])}
    pinned = subset(pins((ROOT / "constraints.txt").read_text(encoding="utf-8")), names)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write(pinned)
        file.flush()
        pip_wheel(folder, "--require-hashes", "--requirement", file.name)
    pip_wheel(folder, "--no-build-isolation", ROOT)


def deb(part: str, wheels: Path, target: Path) -> Path:
    """Make a Debian package of a folder of wheels; return it.

    Raises:
        Stop: The folder is empty, or dpkg-deb is not here.
    """
    own, architecture = version("vigil"), run("dpkg", "--print-architecture")
    if not any(wheels.glob("vigil-*.whl")):
        raise Stop(f"{wheels} holds no wheel of Vigil; run: python -m deploy.packages wheelhouse {part}")
    with tempfile.TemporaryDirectory() as name:
        tree = Path(name)
        tree.chmod(0o755)
        _fill(tree, part, own, architecture, wheels)
        package = target / f"vigil-{part}_{own}_{architecture}.deb"
        run("dpkg-deb", "--root-owner-group", "-Zxz", "--build", tree, package)
    return package


def _fill(tree: Path, part: str, own: str, architecture: str, wheels: Path) -> None:
    """Put everything in its place below a folder."""
    for folder in ("DEBIAN", debian.UNITS, "etc/vigil"):
        (tree / folder).mkdir(parents=True)
    shutil.copytree(wheels, tree / debian.WHEELS)
    for unit in debian.units(part):
        shutil.copy(ROOT / "deploy/systemd" / unit, tree / debian.UNITS / unit)
    (tree / "etc/vigil/vigil.env").write_text(debian.SETTINGS, encoding="utf-8")
    (tree / "DEBIAN/control").write_text(debian.control(part, own, architecture), encoding="utf-8")
    for name, text in debian.scripts(part, own).items():
        script = tree / "DEBIAN" / name
        script.write_text(text, encoding="utf-8")
        script.chmod(0o644 if name == "conffiles" else 0o755)


def main(arguments: Sequence[str]) -> int:
    """Run a command; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m deploy.packages", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("wheelhouse").add_argument("part", nargs="*")
    commands.add_parser("deb").add_argument("part", choices=PARTS)
    chosen = parser.parse_args(arguments)
    try:
        if chosen.command == "wheelhouse":
            wheelhouse(known(chosen.part), DIST / "wheelhouse")
            print(f"{DIST / 'wheelhouse'}: {len(list((DIST / 'wheelhouse').iterdir()))} wheels")
        else:
            DIST.mkdir(exist_ok=True)
            with tempfile.TemporaryDirectory() as folder:
                wheelhouse([chosen.part], Path(folder) / "wheelhouse")
                print(deb(chosen.part, Path(folder) / "wheelhouse", DIST))
    except Stop as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
