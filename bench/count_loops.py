"""What the vectorised loops of compiled code do to an element: x86 assembly, as LLVM prints it.

A loop is a natural one (Aho, Lam, Sethi, Ullman, "Compilers", 2nd edition, 9.6): a block that jumps
back to one which dominates it, and all blocks between. Only innermost loops are looked at.
"""

import re
from typing import NamedTuple

REGISTERS = {"xmm": 16, "ymm": 32, "zmm": 64}
# Bytes that an instruction moves to or from memory, where they are not its register's.
FIXED = {r"v?movd$": 4, r"v?movq$": 8, r"v?pextrw$": 2, r"v?pextrd$": 4, r"v?pextrq$": 8}
FIXED |= {r"vp?broadcast.*(ss|d)$": 4, r"vp?broadcast.*(sd|q)$": 8, r".*ss$": 4, r".*sd$": 8}
FIXED |= {r"vextract.*128$": 16, r"vextract.*32x4$": 16, r"vextract.*64x4$": 32}
SHARES = {
    r"vp?mov[sz]xwd$": 0.5,
    r"vp?mov[sz]xbd$": 0.25,
    r"vcvtp.2p.*$": 0.5,
    r"vpmov[dq][wd]$": 0.5,
}


class Block(NamedTuple):
    instructions: list[str]
    targets: set[str]


class Loop(NamedTuple):
    """Instructions of one turn, and the bytes that it loads and stores."""

    instructions: int
    loaded: int
    stored: int


def loops(assembly: str) -> list[Loop]:
    """The innermost loops that store or load with vector registers."""
    found = []
    for function in functions(assembly):
        blocks = blocks_of(function)
        bodies = natural(blocks)
        heads = {head for head, _ in bodies}
        for head, body in bodies:
            if not (body & heads) - {head}:
                lines = [x for name in body for x in blocks[name].instructions]
                found.append(Loop(len(lines), *moved(lines)))
    return [loop for loop in found if loop.loaded or loop.stored]


def functions(assembly: str) -> list[list[str]]:
    """Lines of code and labels, function by function; its own label begins a function."""
    parts: list[list[str]] = []
    for line in assembly.splitlines():
        text = line.split("#")[0].strip()
        if text.endswith(":") and not text.startswith("."):
            parts.append([text])
        elif text.startswith(".Lfunc_end"):
            parts.append(["end:"])
        elif parts and (text.endswith(":") or (text and not text.startswith("."))):
            parts[-1].append(text)
    return parts


def blocks_of(lines: list[str]) -> dict[str, Block]:
    """Basic blocks by label, each with the blocks that may come next."""
    blocks: dict[str, Block] = {}
    current, unnamed, falls = Block([], set()), 0, False
    for line in lines:
        if line.endswith(":"):
            name = line[:-1]
            if falls:
                current.targets.add(name)
            current, falls = blocks.setdefault(name, Block([], set())), True
            continue
        current.instructions.append(line)
        word = line.split()[0]
        if word.startswith(("j", "ret", "ud2")):
            if word.startswith("j"):
                current.targets.add(line.split()[-1])
            falls = word.startswith("j") and word != "jmp"
            name, unnamed = f"after {unnamed}", unnamed + 1
            if falls:
                current.targets.add(name)
            current, falls = blocks.setdefault(name, Block([], set())), falls
    for block in blocks.values():
        block.targets.intersection_update(blocks)
    return blocks


def natural(blocks: dict[str, Block]) -> list[tuple[str, set[str]]]:
    """Head and blocks of every natural loop."""
    before: dict[str, set[str]] = {name: set() for name in blocks}
    for name, block in blocks.items():
        for target in block.targets:
            before[target].add(name)
    first = next(iter(blocks))
    dominators = {name: {first} if name == first else set(blocks) for name in blocks}
    changing = True
    while changing:
        changing = False
        for name in blocks:
            new = {name} | set.intersection(*(dominators[x] for x in before[name] or {name}))
            if name != first and new != dominators[name]:
                dominators[name], changing = new, True
    bodies: dict[str, set[str]] = {}
    for name, block in blocks.items():
        for head in block.targets & dominators[name]:
            body, waiting = bodies.setdefault(head, {head}), [name]
            while waiting:
                x = waiting.pop()
                if x not in body:
                    body.add(x)
                    waiting += before[x]
    return list(bodies.items())


def moved(lines: list[str]) -> tuple[int, int]:
    """Bytes that vector instructions load from and store to arrays; the stack is no array."""
    loaded = stored = 0
    for line in lines:
        registers = re.findall(r"%([xyz]mm)\d", line)
        if not registers or "(" not in line or "%rsp" in line or "%rip" in line:
            continue
        size = width(line.split()[0], max(REGISTERS[x] for x in registers))
        if line.endswith(")"):
            stored += size
        else:
            loaded += size
    return loaded, stored


def width(word: str, register: int) -> int:
    """Bytes of memory that an instruction reads or writes."""
    fixed = (size for pattern, size in FIXED.items() if re.match(pattern, word))
    share = (share for pattern, share in SHARES.items() if re.match(pattern, word))
    return next(fixed, int(register * next(share, 1)))
