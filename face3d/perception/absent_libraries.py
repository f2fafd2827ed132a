"""Stand-ins for shared libraries that a Linux machine lacks and that a library names but never calls.

The dynamic linker refuses a library whose needs are not met. A need is met by any library of that name (DT_SONAME)
that is loaded already and defines the symbols that are asked for, so one is written here, byte by byte: an ELF file
in which every symbol is one function that returns zero. No compiler is involved.
"""

import ctypes
import mmap
import platform
import re
import struct
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

RETURN_ZERO = {
    "x86_64": (62, bytes.fromhex("31c0c3")),  # xor eax, eax; ret
    "aarch64": (183, bytes.fromhex("000080d2c0035fd6")),  # mov x0, #0; ret
}
"""Per machine: ELF's number for it, and the code of a function that returns zero."""
GRAPHICS_SYMBOL = re.compile(rb"(egl|gl)[A-Z]\w*")
PAGE = 0x10000
"""Largest page size of those machines."""

_loaded: list[ctypes.CDLL] = []


def stand_in_for_absent_libraries(names: Sequence[str], wanted_by: Path) -> None:
    """Load a stand-in for each named library that the machine lacks.

    Args:
        names: names of EGL and OpenGL libraries, as the dynamic linker knows them.
        wanted_by: the 64-bit ELF library that needs them.
    """
    absent = [name for name in names if not _loads(name)]
    if not absent or platform.machine() not in RETURN_ZERO:
        return
    symbols = [name for name in _undefined_symbols(wanted_by) if GRAPHICS_SYMBOL.fullmatch(name)]
    with tempfile.TemporaryDirectory() as directory:
        for name in absent:
            path = Path(directory) / name
            path.write_bytes(_library(name.encode(), symbols))
            _loaded.append(ctypes.CDLL(str(path)))


def _loads(name: str) -> bool:
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


def _undefined_symbols(library: Path) -> Iterator[bytes]:
    """Names that the library's dynamic symbol table leaves to others to define."""
    with library.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as elf:
        (sections_at,) = struct.unpack_from("<Q", elf, 0x28)
        entry_size, count = struct.unpack_from("<HH", elf, 0x3A)
        sections = [struct.unpack_from("<IIQQQQIIQQ", elf, sections_at + i * entry_size) for i in range(count)]
        for _, kind, _, _, offset, size, strings, _, _, _ in sections:
            if kind != 11:  # SHT_DYNSYM
                continue
            names_at = sections[strings][4]
            for at in range(offset, offset + size, 24):
                name, _, _, section = struct.unpack_from("<IBBH", elf, at)
                if name and section == 0:
                    start = names_at + name
                    yield elf[start : elf.find(b"\0", start)]


def _library(soname: bytes, symbols: Sequence[bytes]) -> bytes:
    """A 64-bit little-endian ELF shared library in which every symbol is a function that returns zero."""
    machine, code = RETURN_ZERO[platform.machine()]
    header_size, segment_size, segments = 64, 56, 4
    code_at = header_size + segments * segment_size
    strings, names = bytearray(b"\0" + soname + b"\0"), []
    for symbol in symbols:
        names.append(len(strings))
        strings += symbol + b"\0"
    table = bytes(24) + b"".join(struct.pack("<IBBHQQ", name, 0x12, 0, 1, code_at, len(code)) for name in names)
    chain = [*range(2, len(names) + 1), 0] if names else []  # one bucket, all symbols in a row
    hashes = struct.pack(f"<{4 + len(chain)}I", 1, 1 + len(chain), min(1, len(chain)), 0, *chain)

    body = bytearray(code)
    places = []
    for part in (table, hashes, strings):
        body += bytes(-(code_at + len(body)) % 8)
        places.append(code_at + len(body))
        body += part
    text_size = code_at + len(body)
    dynamic_at = -(-text_size // PAGE) * PAGE
    table_at, hashes_at, strings_at = places
    entries = [(14, 1), (4, hashes_at), (5, strings_at), (6, table_at), (10, len(strings)), (11, 24), (0, 0)]
    dynamic = b"".join(struct.pack("<QQ", *entry) for entry in entries)  # SONAME HASH STRTAB SYMTAB STRSZ SYMENT

    identity = b"\x7fELF\x02\x01\x01" + bytes(9)
    header = identity + struct.pack(
        "<HHIQQQIHHHHHH", 3, machine, 1, 0, header_size, 0, 0, header_size, segment_size, segments, 0, 0, 0
    )
    header += _segment(1, 5, 0, text_size, PAGE)  # LOAD, readable and executable
    header += _segment(1, 6, dynamic_at, len(dynamic), PAGE)  # LOAD, writable: the linker relocates it in place
    header += _segment(2, 6, dynamic_at, len(dynamic), 8)  # DYNAMIC
    header += _segment(0x6474E551, 6, 0, 0, 16)  # GNU_STACK: not executable
    return bytes(header + body).ljust(dynamic_at, b"\0") + dynamic


def _segment(kind: int, flags: int, at: int, size: int, align: int) -> bytes:
    return struct.pack("<IIQQQQQQ", kind, flags, at, at, at, size, size, align)
