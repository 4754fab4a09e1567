"""`!NpmDependencies`: install for all of the root what a package.json of the project depends on."""

from __future__ import annotations

from vaggapy.build.actions import Selection
from vaggapy.build.context import Context
from vaggapy.build.kind import Done, Kind
from vaggapy.build.node import config, npm, offered, run
from vaggapy.build.places import in_project
from vaggapy.build.sources import FileContent, Source, Tree
from vaggapy.config.shapes import KEYS, NOTHING, TEXT, Field, Shape
from vaggapy.record import Record

DEFAULT = "package.json"
SCRIPT = """
const {existsSync, readFileSync} = require("fs");
const {dirname, join} = require("path");
const [file, npm, ...sections] = process.argv.slice(1);
const read = name => JSON.parse(readFileSync(name, "utf8"));
const content = read(file);
const lock = ["npm-shrinkwrap.json", "package-lock.json"].map(name => join(dirname(file), name)).find(existsSync);
const locked = lock && read(lock).packages || {};
const wanted = new Map();
for (const section of sections) {
    const found = content[section] || {};
    for (const name of Array.isArray(found) ? found : Object.keys(found)) {
        const asked = Array.isArray(found) ? (content.dependencies || {})[name] : found[name];
        const known = (locked["node_modules/" + name] || {}).version;
        wanted.set(name, known && !/[:/]/.test(asked || "") ? known : asked);
    }
}
const words = [...wanted].map(([name, version]) => version ? name + "@" + version : name);
if (!words.length) process.exit(0);
console.log("npm install --global " + words.join(" "));
const options = {stdio: "inherit", cwd: dirname(file)};
const ended = require("child_process").spawnSync(npm, ["install", "--global", ...words], options);
if (ended.error) throw ended.error;
process.exit(ended.status === null ? 1 : ended.status);
"""


class NpmDependencies(Record):
    """`file`: relative to the project. The others say which of its sections count."""

    file: str = DEFAULT
    package: bool = True
    dev: bool = True
    peer: bool = False
    bundled: bool = True
    optional: bool = False


def act(step: NpmDependencies, context: Context) -> Done:
    """Have Node.js and install the packages, in the versions of the lock file beside it where that has them."""
    actions, after = npm(context, ())
    sections = (
        ("dependencies", step.package),
        ("devDependencies", step.dev),
        ("peerDependencies", step.peer),
        ("bundledDependencies", step.bundled),
        ("bundleDependencies", step.bundled),
        ("optionalDependencies", step.optional),
    )
    chosen = tuple(name for name, wanted in sections if wanted)
    file = in_project(step.file)
    words = ("node", "-e", SCRIPT, file, config(context).npm_exe, *chosen)
    install = run(words, f"npm install what {file} asks for")
    return Done((*actions, install), offered(after))


def sources(step: NpmDependencies) -> tuple[Source, ...]:
    """Return the file, and the lock file if there is one."""
    file = in_project(step.file)
    locks = Selection(("/package-lock.json", "/npm-shrinkwrap.json"))
    return (FileContent(file), Tree(file.rpartition("/")[0], locks))


FIELDS = {
    "file": Field("text", DEFAULT),
    "package": Field("true or false", "true"),
    "dev": Field("true or false", "true"),
    "peer": Field("true or false", "false"),
    "bundled": Field("true or false", "true"),
    "optional": Field("true or false", "false"),
}
KIND = Kind(Shape("!NpmDependencies", (NOTHING, TEXT, KEYS), FIELDS, "file"), NpmDependencies, act, sources)
