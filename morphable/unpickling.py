"""Arrays out of pickles and NumPy files from strangers, without running what is pickled.

A pickle is a program: it names functions and calls them. Here the names it may use are few, and all of them stand for
inert containers of this module, NumPy's own array and type included, whose unchecked state could overwrite memory.
They are classes and keep no state of their own, so that a pickle cannot change them either.
When the program has ended, the containers are checked and turned into arrays. Any other name is refused before
anything is called.
"""

import io
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np

from morphable.errors import ModelFileError, UnsafeFileError

MAX_BYTES = 2**32
"""Of one array and of an archive; more is taken for an attempt to fill the memory."""
PLAIN_KINDS = "biufSU"
"""Kinds of NumPy's types that hold nothing but numbers and text."""
UNREADABLE_ARCHIVE = (zipfile.BadZipFile, RuntimeError, EOFError)
"""What `zipfile` raises for an archive that is broken, packed in a way it does not know or encrypted, or cut short."""
Resolve = Callable[[Any], Any]
"""Turns what a container holds into plain Python and arrays."""


def read_pickle(path: Path) -> Any:
    """What a pickle of Python 2 or 3 holds: dicts, lists, tuples, numbers, text and arrays.

    chumpy's arrays and SciPy's sparse matrices come back as plain arrays, neither library being needed. Other
    libraries' tensors come back as `OpaqueObject`.

    Raises:
        UnsafeFileError: the pickle names something that is no container of numbers.
        ModelFileError: it is truncated, or its arrays do not have the size that they claim.
    """
    with path.open("rb") as file:
        return _unpickled(file, path.name)


def read_npy(path: Path) -> Any:
    """An array of a `.npy` file; if it holds Python objects, those that `read_pickle` would give. Raises as that."""
    with path.open("rb") as file:
        return _array_from(file, path.name)


def read_npz(path: Path) -> dict[str, Any]:
    """All arrays of a `.npz` file by name, each as `read_npy` gives it. Raises as that."""
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > MAX_BYTES:
                raise ModelFileError(f"{path.name} would fill more than {MAX_BYTES >> 30} GiB of memory.")
            return {
                entry.filename.removesuffix(".npy"): _array_from(
                    io.BytesIO(archive.read(entry)), f"{entry.filename} in {path.name}"
                )
                for entry in archive.infolist()
            }
    except UNREADABLE_ARCHIVE as error:
        raise ModelFileError(f"{path.name} is damaged: {error}.") from error


class OpaqueObject:
    """An object whose content no model needs, such as another library's tensor: neither its arguments nor its state are
    kept."""

    def __init__(self, *_: Any) -> None:
        """Accepts what the pickle passes, whatever it is."""

    def __setstate__(self, _: Any) -> None:
        """Accepts what the pickle restores, whatever it is."""


def _unpickled(file: BinaryIO, name: str) -> Any:
    stream = file.read()
    if not stream.endswith(pickle.STOP):
        raise ModelFileError(f"{name} is damaged or no pickle: it ends early.")
    try:
        return _plain(_Unpickler(io.BytesIO(stream), name).load())
    except ModelFileError:
        raise
    except Exception as error:  # a broken pickle fails in as many ways as it has instructions
        raise ModelFileError(f"{name} is damaged or no pickle: {error or type(error).__name__}.") from error


def _array_from(file: BinaryIO, name: str) -> Any:
    try:
        version = np.lib.format.read_magic(file)
        header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, kind = header(file)
        if kind.hasobject:
            held = _unpickled(file, name)
            return held.item() if isinstance(held, np.ndarray) and held.shape == () else held
        state = (1, shape, _Dtype.of(kind), fortran, file.read(MAX_BYTES))
        return _plain(_Array.of(state))
    except UnsafeFileError:
        raise
    except (ValueError, EOFError, SyntaxError, MemoryError) as error:
        raise ModelFileError(f"{name} is damaged: {error}.") from error


class _Unpickler(pickle._Unpickler):
    """In Python, not C: there, a number in the file decides how much memory is taken."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        super().__init__(file, encoding="latin1")
        self._name = name

    def find_class(self, module: str, name: str) -> Any:
        known = ALLOWED.get((_modern(module), name))
        if known is not None:
            return known
        package = module.split(".")[0]
        if package == "chumpy":
            return _Chumpy
        if (module, name) in OPAQUE:
            return OpaqueObject
        if package == "scipy" and name in SPARSE:
            return SPARSE[name]
        raise UnsafeFileError(
            f"{self._name} asks to run `{module}.{name}`, which no model file needs; nothing of it was run."
        )

    def persistent_load(self, _: Any) -> Any:
        raise ModelFileError(f"{self._name} refers to data outside itself.")


def _modern(module: str) -> str:
    """Python 2's and older NumPy's names of modules, as today's."""
    module = {"__builtin__": "builtins", "copy_reg": "copyreg"}.get(module, module)
    return module.replace("numpy.core.", "numpy._core.")


class _Dtype:
    """numpy.dtype: its code and order of bytes."""

    def __init__(self, code: Any, *_: Any) -> None:
        self.code = code
        self.order: Any = "="

    @classmethod
    def of(cls, kind: np.dtype) -> "_Dtype":
        made = cls(kind.str)
        made.order = ""
        return made

    def __setstate__(self, state: tuple) -> None:
        self.order = state[1]

    def plain(self, resolve: Resolve) -> np.dtype:
        kind = np.dtype(str(self.code))
        if kind.kind not in PLAIN_KINDS + "O" or kind.names is not None:
            raise ValueError(f"an array of type {kind} is none of numbers or text")
        return kind.newbyteorder(self.order) if self.order in ("<", ">", "=") else kind


class _Array:
    """numpy.ndarray: what its state says, unchecked until it is turned into an array."""

    def __init__(self, *_: Any) -> None:
        self.state: Any = None

    @classmethod
    def of(cls, state: tuple) -> "_Array":
        made = cls()
        made.state = state
        return made

    def __setstate__(self, state: tuple) -> None:
        self.state = state

    def plain(self, resolve: Resolve) -> np.ndarray:
        if self.state is None:
            raise ValueError("an array lacks its data")
        _, shape, kind, fortran, data = self.state
        kind = kind.plain(resolve)
        order: Literal["F", "C"] = "F" if fortran else "C"
        if kind.hasobject:
            held = np.empty(len(data), object)
            held[:] = [resolve(each) for each in data]
            return held.reshape(shape, order=order)
        data = data.encode("latin1") if isinstance(data, str) else resolve(data)
        array: np.ndarray = np.frombuffer(data, kind).reshape(shape, order=order)
        return array.astype(kind.newbyteorder("="))


class _Scalar(_Array):
    """numpy.core.multiarray.scalar."""

    def __init__(self, kind: _Dtype, data: Any = b"") -> None:
        self.state = (1, (), kind, False, data)


class _Chumpy:
    """Any array of chumpy: its attributes, of which those of its two kinds found in model files can be read."""

    def __init__(self, *_: Any) -> None:
        self.attributes: dict[str, Any] = {}

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, dict):
            raise ValueError("a chumpy array lacks its attributes")
        self.attributes = state

    def plain(self, resolve: Resolve) -> Any:
        if "x" in self.attributes:
            return np.asarray(resolve(self.attributes["x"]))
        if {"a", "idxs"} <= self.attributes.keys():  # a selection of another array's entries
            chosen = np.asarray(resolve(self.attributes["a"])).ravel()[resolve(self.attributes["idxs"])]
            return chosen.reshape(resolve(self.attributes.get("preferred_shape", chosen.shape)))
        raise ValueError("a chumpy array is a formula, not numbers")


class _Sparse:
    """A sparse matrix of SciPy, made dense."""

    def __init__(self, *_: Any) -> None:
        self.attributes: dict[str, Any] = {}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.attributes = state

    def plain(self, resolve: Resolve) -> np.ndarray:
        held = {key: resolve(value) for key, value in self.attributes.items()}
        dense: np.ndarray = np.zeros(held["_shape"] if "_shape" in held else held["shape"], held["data"].dtype)
        np.add.at(dense, self.places(held), held["data"])
        return dense

    def places(self, held: dict[str, Any]) -> tuple[np.ndarray, ...]:
        return held["coords"] if "coords" in held else (held["row"], held["col"])


class _SparseRows(_Sparse):
    def places(self, held: dict[str, Any]) -> tuple[np.ndarray, ...]:
        counts = np.diff(held["indptr"])
        return np.repeat(np.arange(len(counts)), counts), held["indices"]


class _SparseColumns(_SparseRows):
    def places(self, held: dict[str, Any]) -> tuple[np.ndarray, ...]:
        columns, rows = super().places(held)
        return rows, columns


class _Buffered(_Array):
    """numpy._core.numeric._frombuffer."""

    def __init__(self, data: Any, kind: _Dtype, shape: tuple, order: str) -> None:
        self.state = (1, shape, kind, order == "F", data)


class _Encoded:
    """_codecs.encode, or bytes() where there are none, as Python 3 writes bytes for Python 2."""

    def __init__(self, text: str = "", *_: Any) -> None:
        self.text = text

    def __setstate__(self, _: Any) -> None:
        raise ValueError("bytes have no state")

    def plain(self, resolve: Resolve) -> bytes:
        return self.text.encode("latin1")


class _Reconstructed:
    """copyreg._reconstructor, of this module's containers."""

    def __new__(cls, kind: Any, *_: Any) -> Any:
        if not (isinstance(kind, type) and issubclass(kind, _Chumpy | _Sparse | OpaqueObject)):
            raise ValueError("an object is of no known kind")
        return kind()

    def __setstate__(self, _: Any) -> None:
        raise ValueError("an object is of no known kind")


def _plain(held: Any) -> Any:
    """Containers turned into arrays, all the way down, each once however often it is referred to."""
    done: dict[int, tuple[Any, Any]] = {}

    def resolve(each: Any) -> Any:
        if id(each) not in done:
            done[id(each)] = each, _resolved(each, resolve)
        return done[id(each)][1]

    return resolve(held)


def _resolved(held: Any, resolve: Resolve) -> Any:
    if isinstance(held, _Dtype | _Array | _Chumpy | _Sparse | _Encoded):
        return held.plain(resolve)
    if isinstance(held, dict):
        return {key: resolve(value) for key, value in held.items()}
    if isinstance(held, list | tuple):
        return type(held)(resolve(each) for each in held)
    return held


ALLOWED: dict[tuple[str, str], type] = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    ("numpy._core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "scalar"): _Scalar,
    ("numpy._core.numeric", "_frombuffer"): _Buffered,
    ("_codecs", "encode"): _Encoded,
    ("builtins", "bytes"): _Encoded,
    ("copyreg", "_reconstructor"): _Reconstructed,
    ("builtins", "object"): OpaqueObject,
    ("collections", "OrderedDict"): dict,
    **{("builtins", kind.__name__): kind for kind in (set, frozenset, list, dict, tuple, slice)},
}
OPAQUE = {("torch._utils", "_rebuild_tensor_v2"), ("torch.storage", "_load_from_bytes")}
SPARSE: dict[str, type[_Sparse]] = {
    **dict.fromkeys(("csr_matrix", "csr_array"), _SparseRows),
    **dict.fromkeys(("csc_matrix", "csc_array"), _SparseColumns),
    **dict.fromkeys(("coo_matrix", "coo_array"), _Sparse),
}
