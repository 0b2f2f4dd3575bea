"""Gets the sources that training data are made from, as `sources.toml` lists them.

    python3 models/micro/fetch.py CACHE            fetch what is missing, check every hash and licence
    python3 models/micro/fetch.py CACHE --lock     also write versions, licences and hashes that the list leaves open
    python3 models/micro/fetch.py CACHE --held     what only measurements are made from, as `held.toml` lists it

Each registry is asked through its own client (pip, npm, cargo, go), one exact version per package; nothing is built and no
script of a package runs. The result is CACHE/REGISTRY/NAME, source files only. Standard library of Python only.
"""

import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import tomllib
import zipfile

HERE = pathlib.Path(__file__).resolve().parent
LIST = HERE / "sources.toml"
ALLOWED = {
    "MIT", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "Zlib", "Unlicense",
    "CC0-1.0", "BSL-1.0", "0BSD", "PSF-2.0",
}
SUFFIXES = {".py", ".js", ".mjs", ".cjs", ".ts", ".mts", ".rs", ".go"}
# What a package's classifiers or its licence file say, as SPDX.
SPOKEN = [
    (r"Apache", "Apache-2.0"),
    (r"ISC License", "ISC"),
    (r"MIT License|Permission is hereby granted, free of charge", "MIT"),
    (r"BSD License|BSD 3|BSD-3|3-Clause|Neither the name", "BSD-3-Clause"),
    (r"BSD 2|BSD-2|Redistribution and use in source", "BSD-2-Clause"),
    (r"Python Software Foundation", "PSF-2.0"),
    (r"Unlicense", "Unlicense"),
    (r"\bMIT\b", "MIT"),
    (r"\bBSD\b", "BSD-3-Clause"),
]

DEBIAN = {
    "Expat": "MIT", "Apache-2": "Apache-2.0", "BSD-3-clause": "BSD-3-Clause", "BSD-2-clause": "BSD-2-Clause", "zlib": "Zlib",
    "BSD-3-Clause-Google": "BSD-3-Clause", "BSD-3-clause-Google": "BSD-3-Clause", "BSD-3": "BSD-3-Clause", "CC0": "CC0-1.0",
}


def satisfiable(expression):
    """Whether an SPDX expression can be met with the allowed licences alone (`/` is an old way to write OR)."""
    tokens = re.findall(r"\(|\)|[^\s()]+", expression.replace("/", " OR "))
    at = 0

    def atom():
        nonlocal at
        if at < len(tokens) and tokens[at] == "(":
            at += 1
            value = any_of()
            at += 1
            return value
        value = at < len(tokens) and tokens[at] in ALLOWED
        at += 1
        if at < len(tokens) and tokens[at].upper() == "WITH":
            at += 2
            return False
        return value

    def all_of():
        nonlocal at
        value = atom()
        while at < len(tokens) and tokens[at].upper() == "AND":
            at += 1
            value = atom() and value
        return value

    def any_of():
        nonlocal at
        value = all_of()
        while at < len(tokens) and tokens[at].upper() == "OR":
            at += 1
            value = all_of() or value
        return value

    value = any_of()
    return value and at == len(tokens)


def spoken_licence(text):
    return next((spdx for pattern, spdx in SPOKEN if re.search(pattern, text)), None)


def run(*command, cwd=None):
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"`{' '.join(map(str, command))}` failed:\n{done.stderr[-800:]}")
    return done.stdout


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def place(name):
    return name.replace("/", "!")


def keep(target, name, data):
    """Writes one source file of an archive; anything else, and any path that leads elsewhere, is left out."""
    path = pathlib.PurePosixPath(name)
    if path.suffix not in SUFFIXES or path.is_absolute() or ".." in path.parts or len(data) > 1 << 20:
        return
    file = target / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)


def unpack(archive, target):
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            for name in wheel.namelist():
                keep(target, name, wheel.read(name))
    else:
        with tarfile.open(archive) as tar:
            for member in tar:
                if member.isfile():
                    keep(target, member.name, tar.extractfile(member).read())


def copy_tree(source, target):
    for file in sorted(source.rglob("*")):
        if file.is_file() and not file.is_symlink():
            keep(target, file.relative_to(source).as_posix(), file.read_bytes())


def wheel_facts(archive):
    with zipfile.ZipFile(archive) as wheel:
        metadata = next(name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
        head = re.split(r"\r?\n\r?\n", wheel.read(metadata).decode("utf8", "replace"))[0]
    fields = re.findall(r"^(License-Expression|Classifier|License|Version): ?(.*?)\r?$", head, re.M)
    version = next(value for key, value in fields if key == "Version")
    expression = next((value for key, value in fields if key == "License-Expression"), None)
    if expression:
        return version, expression
    classified = [value for key, value in fields if key == "Classifier" and value.startswith("License ::")]
    stated = [value for key, value in fields if key == "License"]
    return version, spoken_licence("\n".join(classified)) or spoken_licence("\n".join(stated))


def pypi(name, entry, target, scratch):
    pin = f"=={entry['version']}" if entry.get("version") else ""
    options = ["--no-deps", "--only-binary", ":all:", "--disable-pip-version-check", "-q", "-d", scratch]
    run(sys.executable, "-m", "pip", "download", *options, name + pin)
    archive = next(pathlib.Path(scratch).iterdir())
    version, licence = wheel_facts(archive)
    unpack(archive, target)
    return version, licence, sha256(archive)


def npm(name, entry, target, scratch):
    spec = f"{name}@{entry['version']}" if entry.get("version") else name
    run("npm", "pack", "--silent", "--ignore-scripts", spec, cwd=scratch)
    archive = next(pathlib.Path(scratch).iterdir())
    with tarfile.open(archive) as tar:
        member = min((m for m in tar if m.name.endswith("package.json")), key=lambda m: m.name.count("/"))
        facts = json.load(tar.extractfile(member))
    unpack(archive, target)
    licence = facts.get("license") or (facts.get("licenses") or [{}])[0]
    return facts["version"], licence.get("type") if isinstance(licence, dict) else licence, sha256(archive)


def crates(name, entry, target, scratch):
    """From cargo's own cache, where the packages that this project builds with lie already; others are fetched into it."""
    version = entry.get("version") or "*"
    home = pathlib.Path(os.environ.get("CARGO_HOME") or pathlib.Path.home() / ".cargo")
    # `hex-*` is `hex-literal`, too.
    unpacked = lambda: sorted(path for path in home.glob(f"registry/src/*/{name}-{version}") if re.match(r"\d", path.name[len(name) + 1 :]))
    found = unpacked()
    if not found:
        pin = f"={version}" if entry.get("version") else "*"
        manifest = f'[package]\nname = "sources"\nversion = "0.0.0"\n[lib]\npath = "lib.rs"\n[dependencies]\n{name} = "{pin}"\n'
        (pathlib.Path(scratch) / "Cargo.toml").write_text(manifest)
        (pathlib.Path(scratch) / "lib.rs").write_text("")
        run("cargo", "fetch", cwd=scratch)
        found = unpacked()
    facts = tomllib.loads((found[0] / "Cargo.toml").read_text())["package"]
    copy_tree(found[0], target)
    archive = next(iter(home.glob(f"registry/cache/*/{name}-{facts['version']}.crate")))
    return facts["version"], facts.get("license"), sha256(archive)


def go(name, entry, target, scratch):
    source = pathlib.Path(run("go", "env", "GOROOT").strip()) / "src"
    copy_tree(source.resolve(), target)
    return re.search(r"go([\d.]+)", run("go", "version"))[1], "BSD-3-Clause", None


def debian(name, entry, target, scratch):
    """A `golang-*-dev` package: the sources of a Go module. Its copyright file says what every part of it is under."""
    spec = f"{name}={entry['version']}" if entry.get("version") else name
    run("apt-get", "download", "-q", spec, cwd=scratch)
    archive = next(pathlib.Path(scratch).glob("*.deb"))
    version = run("dpkg-deb", "-f", archive, "Version").strip()
    tree = pathlib.Path(scratch) / "tree"
    run("dpkg-deb", "-x", archive, tree)
    copy_tree(tree / "usr/share/gocode/src", target)
    text = next(tree.glob("usr/share/doc/*/copyright")).read_text(errors="replace")
    stanzas = re.findall(r"^Files:(.*?)^License:[ \t]*(\S[^\n]*)", text, re.M | re.S)
    parts = {DEBIAN.get(licence.strip(), licence.strip()) for files, licence in stanzas if "debian/" not in files}
    return version, " AND ".join(sorted(parts)), sha256(archive)


def python(name, entry, target, scratch):
    copy_tree(pathlib.Path(sysconfig.get_paths()["stdlib"]), target)
    shutil.rmtree(target / "site-packages", ignore_errors=True)
    return "%d.%d" % sys.version_info[:2], "PSF-2.0", None


REGISTRIES = {"python": python, "pypi": pypi, "npm": npm, "crates": crates, "go": go, "debian": debian}


def fetch(registry, name, entry, cache, lock):
    """Fetches one source unless it is there. Gives the entry as it should stand in the list, or why it was left out."""
    target = cache / registry / place(name)
    stamp = target / ".fetched.json"
    if stamp.exists():
        facts = json.loads(stamp.read_text())
    else:
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        with tempfile.TemporaryDirectory() as scratch:
            version, licence, digest = REGISTRIES[registry](name, entry, target, scratch)
        facts = {"version": version, "licence": licence or entry.get("licence"), "hash": digest}
        stamp.write_text(json.dumps(facts))
    local = facts["hash"] is None
    for key in () if local else ("version", "hash"):
        if entry.get(key) and entry[key] != facts[key]:
            raise RuntimeError(f"{key} is {facts[key]}, and {entry[key]} was expected")
        if not entry.get(key) and not lock:
            raise RuntimeError(f"has no {key} in the list; `--lock` writes it")
    licence = entry.get("licence") or facts["licence"]
    if not licence or not satisfiable(licence):
        shutil.rmtree(target)
        raise RuntimeError(f"its licence, {licence}, is not among those allowed")
    return {"version": facts["version"], "licence": licence} | ({} if local else {"hash": facts["hash"]})


def written(listed, old):
    head = "".join(line for line in old.splitlines(keepends=True) if line.startswith("#"))
    parts = []
    for registry, entries in listed.items():
        rows = []
        for name in sorted(entries):
            values = ", ".join(f"{key} = {json.dumps(value)}" for key, value in entries[name].items())
            rows.append(f"{json.dumps(name)} = {{ {values} }}" if values else f"{json.dumps(name)} = {{}}")
        parts.append(f"\n[{registry}]\n" + "\n".join(rows) + "\n")
    return head + "".join(parts)


def main():
    cache, lock = pathlib.Path(sys.argv[1]), "--lock" in sys.argv
    path = HERE / "held.toml" if "--held" in sys.argv else LIST
    listed = tomllib.loads(path.read_text())
    failed = 0
    for registry, entries in listed.items():
        for name in sorted(entries):
            try:
                entries[name] = fetch(registry, name, entries[name], cache, lock)
            except (RuntimeError, OSError, StopIteration, KeyError, IndexError) as error:
                failed += 1
                shutil.rmtree(cache / registry / place(name), ignore_errors=True)
                print(f"{registry} {name}: {error}", file=sys.stderr)
                if lock:
                    del entries[name]
        print(f"{registry}: {len(entries)} listed", flush=True)
    if lock:
        path.write_text(written(listed, path.read_text()))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
