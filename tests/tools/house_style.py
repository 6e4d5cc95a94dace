"""Checks the rules of the house style that neither rustfmt nor clippy can check.

Prints one line per violation, `path:line: what is wrong`, and exits with 1 if there is any.

- a source file has at most 800 lines, a function at most 100;
- only flight-server/src/status.rs makes a `tonic::Status`: one place maps errors to codes;
- the wall clock, global randomness and bare task spawning stay in the files that wrap them;
- names of lints are silenced by `#[expect(…, reason = "…")]`, never by `#[allow(…)]`;
- no line is longer than 110 characters (rustfmt aims at 100 but leaves comments and strings alone).

Comments and string literals are blanked before searching, so that prose may name what code may not.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FILE_LINES_MAX = 800
FUNCTION_LINES_MAX = 100
LINE_CHARS_MAX = 110

# What is blanked before searching: comments, string and character literals (lifetimes stay).
QUOTED = re.compile(
    "|".join(
        [
            r"//.*",
            r"/\*(?s:.*?)\*/",
            r"r(#*)\"(?s:.*?)\"\1",
            r"\"(?:[^\"\\]|\\(?s:.))*\"",
            r"'(?:[^'\\\n]|\\[^\n]{1,10}?)'",
        ]
    )
)
# What the function finder steps over: the keyword with its name, and every bracket or semicolon.
STRUCTURE = re.compile(r"\bfn\s+(?P<name>\w+)|[][(){};]")

# (pattern, what to do instead, files that may use it, whether it binds test files too)
CONFINED = [
    (
        re.compile(r"\bStatus::(?:new|with_\w+|from_\w+|[a-z]+(?:_[a-z]+)*)\s*\("),
        "make the status in flight-server/src/status.rs",
        {"flight-server/src/status.rs"},
        False,
    ),
    (
        re.compile(r"\bSystemTime::now\b"),
        "take the time from the injected Clock",
        {"catalog/src/clock.rs"},
        True,
    ),
    (
        re.compile(r"\btokio::(?:task::)?spawn\s*\("),
        "use the spawn helper, which keeps the span",
        {"flight-server/src/task.rs", "engine/src/task.rs"},
        False,
    ),
    (
        re.compile(r"\brand::random\b|\bUuid::new_v4\b|\bUuid::now_v7\b"),
        "draw from injected randomness",
        {"catalog/src/ids.rs", "engine/src/ids.rs", "flight-server/src/ids.rs"},
        False,
    ),
    (re.compile(r"#!?\[allow\("), 'use #[expect(…, reason = "…")]', set(), True),
    (
        re.compile(r"#!?\[expect\((?![^\]]*\breason\b)"),
        'give the expectation a reason = "…"',
        set(),
        True,
    ),
]


def main() -> int:
    violations = []
    for path in sorted(rust_sources()):
        violations += check_file(path)
    for violation in violations:
        print(violation)
    if violations:
        print(f"{len(violations)} violations of the house style", file=sys.stderr)
    return 1 if violations else 0


def rust_sources() -> list[Path]:
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.rs"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return [ROOT / line for line in listing.splitlines() if (ROOT / line).is_file()]


def check_file(path: Path) -> list[str]:
    name = path.relative_to(ROOT).as_posix()
    text = path.read_text(encoding="utf-8")
    code = QUOTED.sub(lambda quoted: re.sub(r".", " ", quoted.group()), text)
    lines = text.splitlines()
    found = []
    if len(lines) > FILE_LINES_MAX:
        found.append(f"{name}:1: {len(lines)} lines, more than {FILE_LINES_MAX}: split the file")
    for number, line in enumerate(lines, start=1):
        if len(line) > LINE_CHARS_MAX and "://" not in line:
            found.append(f"{name}:{number}: {len(line)} characters, more than {LINE_CHARS_MAX}")
    is_test = "/tests/" in name or name.endswith("tests.rs")
    for function, number, length in ([] if is_test else functions(code)):
        if length > FUNCTION_LINES_MAX:
            found.append(f"{name}:{number}: fn {function} has {length} lines: split it")
    found += check_confined(name, code)
    return found


def check_confined(name: str, code: str) -> list[str]:
    found = []
    in_test = is_test_file(name)
    for pattern, remedy, allowed, binds_tests in CONFINED:
        if name in allowed or (in_test and not binds_tests):
            continue
        for match in pattern.finditer(code):
            number = code.count("\n", 0, match.start()) + 1
            found.append(f"{name}:{number}: {match.group().strip()}: {remedy}")
    return found


def is_test_file(name: str) -> bool:
    return bool(re.search(r"(^|/)(tests?|benches)(/|\.rs$)|(^|/)(tests?_\w+|\w+_tests?)\.rs$", name))


def functions(code: str):
    """(name, first line, number of lines) of each function that has a body.

    One pass with a stack of open brackets: a `{` right after a signature, at the signature's own
    depth, opens that function's body; a `;` there means it has none.
    """
    stack: list[tuple[str, int] | None] = []
    signature: tuple[str, int, int] | None = None
    for token in STRUCTURE.finditer(code):
        mark = token.group()
        if token["name"]:
            signature = (token["name"], token.start(), len(stack))
        elif mark in "{([":
            if mark == "{" and signature and signature[2] == len(stack):
                stack.append(signature[:2])
                signature = None
            else:
                stack.append(None)
        elif mark in "})]" and stack:
            if function := stack.pop():
                name, start = function
                lines = code.count("\n", start, token.start()) + 1
                yield name, code.count("\n", 0, start) + 1, lines
        elif mark == ";" and signature and signature[2] == len(stack):
            signature = None


if __name__ == "__main__":
    sys.exit(main())
