"""C of this package, built by the system's compiler into the user's cache, once for each source, flags and processor.

The compiler is $CC, or cc; the cache is $XDG_CACHE_HOME/llcx, or ~/.cache/llcx.
"""

import hashlib
import os
import platform
import shlex
import subprocess
import tempfile
from pathlib import Path

ALWAYS = ("-O3", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=off", "-shared", "-fPIC")
TUNED = (  # the first that the compiler knows is taken; on long vectors it would go half way by itself
    ("-march=native", "-fno-tree-slp-vectorize", "-mprefer-vector-width=512"),
    ("-march=native",),
    (),
)


def built(source: str) -> Path:
    """The library made of a file of this folder. Raises ValueError where there is no compiler, or it fails."""
    file = Path(__file__).with_name(source)
    compiler = shlex.split(os.environ.get("CC") or "cc")
    made = _folder() / f"{file.stem}-{_name(file, compiler)}.so"
    if not made.exists():
        try:
            made.parent.mkdir(parents=True, exist_ok=True)
            _build(compiler, file, made)
        except OSError as error:
            raise _refused(f"{error.strerror or error}: {error.filename or compiler[0]}") from error
    return made


def _folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "llcx"


def _name(file: Path, compiler: list[str]) -> str:
    """What the library depends on, hashed."""
    told = Path("/proc/cpuinfo")
    lines = told.read_text().splitlines() if told.exists() else [platform.processor()]
    processor = sorted({line for line in lines if line.startswith(("model name", "flags", "Features", "CPU "))})
    parts = [platform.machine(), *processor, *compiler, *ALWAYS, *map(str, TUNED), file.read_text()]
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:16]


def _build(compiler: list[str], file: Path, made: Path) -> None:
    """Written beside and moved, so that another process sees the whole library or none."""
    handle, beside = tempfile.mkstemp(dir=made.parent, prefix=made.stem, suffix=".part")
    os.close(handle)
    try:
        for tuned in TUNED:
            command = [*compiler, *ALWAYS, *tuned, str(file), "-o", beside, "-lm"]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode == 0:
                os.replace(beside, made)
                return
        raise _refused(f"{compiler[0]} failed: {(done.stderr.strip().splitlines() or ['no message'])[0]}")
    finally:
        Path(beside).unlink(missing_ok=True)


def _refused(why: str) -> ValueError:
    return ValueError(f"hardware.noise must be torch without a C compiler, got native ({why}); install cc, or set CC")
