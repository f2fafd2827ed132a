"""Pickles of strangers: arrays come out, code does not run."""

import io
import os
import pickle
import struct
import sys
import zipfile
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from scipy import sparse

from morphable.errors import ModelFileError, UnsafeFileError
from morphable.unpickling import OpaqueObject, read_npy, read_npz, read_pickle

ARRAYS = {
    "floats": np.linspace(0, 1, 12).reshape(3, 4),
    "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "big_endian": np.arange(4, dtype=">f4"),
    "integers": np.arange(5, dtype=np.uint32),
    "flags": np.array([True, False]),
    "text": np.array(["jaw", "neck"]),
    "empty": np.zeros((0, 3)),
    "scalar": np.float32(2.5),
}


class Exploit:
    """Runs a command when unpickled by Python's own reader."""

    def __init__(self, *call):
        self.call = call

    def __reduce__(self):
        return self.call[0], self.call[1:]


@pytest.fixture
def chumpy(monkeypatch):
    """A library called chumpy, so that its arrays can be pickled without it."""
    package, inner, reordering = (ModuleType(name) for name in ("chumpy", "chumpy.ch", "chumpy.reordering"))
    ch, select = type("Ch", (), {"__module__": inner.__name__}), type("Select", (), {"__module__": reordering.__name__})
    inner.Ch, reordering.Select = ch, select
    for module in (package, inner, reordering):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    return inner, reordering


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_come_back_whatever_the_protocol(tmp_path, protocol):
    path = tmp_path / "arrays.pkl"
    path.write_bytes(pickle.dumps({**ARRAYS, "nested": [{"x": (1, 2.5, "é", None)}]}, protocol=protocol))
    held = read_pickle(path)
    assert held.pop("nested") == [{"x": (1, 2.5, "é", None)}]
    assert held.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert np.array_equal(held[name], array)
        assert held[name].dtype == array.dtype.newbyteorder("=")


def test_arrays_of_python_2(tmp_path):
    """As Python 2 writes them: NumPy's modules under their old names, bytes as text."""
    stream = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR"
        b"(I1\n(I2\ntcnumpy\ndtype\n(S'f8'\nI0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntb"
        b"I00\nS'" + "".join(f"\\x{byte:02x}" for byte in struct.pack("<2d", 1.5, -2)).encode() + b"'\ntb."
    )
    (tmp_path / "old.pkl").write_bytes(stream)
    assert read_pickle(tmp_path / "old.pkl").tolist() == [1.5, -2.0]


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_chumpy_arrays_are_read_without_chumpy(tmp_path, chumpy, protocol):
    inner, reordering = chumpy
    whole = inner.Ch()
    whole.x, whole._dirty_vars, whole._itr, whole._make_dense = ARRAYS["floats"], set(), None, False
    whole._depends_on_deps = {"J": {"deps": {"x"}, "value": None, "out_of_date": True}}
    part = reordering.Select()
    part.a, part.idxs, part.preferred_shape = whole, np.array([0, 5, 7, 11]), (2, 2)
    (tmp_path / "model.pkl").write_bytes(pickle.dumps({"whole": whole, "part": part}, protocol=protocol))
    for name in ("chumpy", "chumpy.ch", "chumpy.reordering"):
        del sys.modules[name]
    held = read_pickle(tmp_path / "model.pkl")
    assert np.array_equal(held["whole"], ARRAYS["floats"])
    assert np.array_equal(held["part"], ARRAYS["floats"].ravel()[[0, 5, 7, 11]].reshape(2, 2))


def test_chumpy_formulas_are_refused(tmp_path, chumpy):
    formula = chumpy[0].Ch()
    formula.terms = ["a", "b"]
    (tmp_path / "model.pkl").write_bytes(pickle.dumps({"v": formula}))
    with pytest.raises(ModelFileError, match="a formula"):
        read_pickle(tmp_path / "model.pkl")


@pytest.mark.parametrize("kind", ["csc_matrix", "csr_matrix", "coo_matrix", "csc_array"])
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_sparse_matrices_become_dense(tmp_path, kind, protocol):
    dense = np.random.default_rng(0).random((5, 9)) * (np.random.default_rng(1).random((5, 9)) > 0.6)
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(getattr(sparse, kind)(dense), protocol=protocol))
    assert np.array_equal(read_pickle(tmp_path / "model.pkl"), dense)


@pytest.mark.parametrize(
    "call",
    [
        (os.system, "touch {proof}"),
        (eval, "open('{proof}', 'w')"),
        (exec, "open('{proof}', 'w')"),
        (open, "{proof}", "w"),
        (getattr, "text", "upper"),
        (np.fromfile, "{proof}"),
        (np.load, "{proof}"),
        (sparse.load_npz, "{proof}"),
        (bytearray, 10**15),
        (range, 10**15),
        (np.zeros, 10**15),
    ],
    ids=lambda call: call[0].__name__,
)
@pytest.mark.parametrize("suffix", [".pkl", ".npz", ".npy"])
def test_code_is_not_run(tmp_path, call, suffix):
    proof = tmp_path / "proof"
    filled = [each.format(proof=proof) if isinstance(each, str) else each for each in call]
    path = tmp_path / f"model{suffix}"
    if suffix == ".pkl":
        path.write_bytes(pickle.dumps({"v_template": np.zeros(3), "f": Exploit(*filled)}))
    else:
        {".npz": np.savez, ".npy": np.save}[suffix](path, np.array(Exploit(*filled), dtype=object))
    with pytest.raises(UnsafeFileError, match=r"model.* asks to run `.*`, which no model file needs"):
        {".pkl": read_pickle, ".npz": read_npz, ".npy": read_npy}[suffix](path)
    assert not proof.exists()


def test_the_exploit_would_have_worked(tmp_path):
    """Python's own reader runs it; otherwise the tests above would show nothing."""
    proof = tmp_path / "proof"
    pickle.loads(pickle.dumps(Exploit(os.system, f"touch {proof}")))
    assert proof.exists()


def test_forged_types_reach_no_memory(tmp_path):
    """A type whose state says that objects are numbers would turn bytes into pointers, in NumPy's own reader."""
    forged = (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        b"(K\x01K\x01\x85cnumpy\ndtype\nU\x02O8K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        b"\x89U\x08AAAAAAAAtb."
    )
    (tmp_path / "forged.pkl").write_bytes(forged)
    with pytest.raises(ModelFileError):
        read_pickle(tmp_path / "forged.pkl")


def test_pickles_cannot_change_the_reader(tmp_path):
    """BUILD on what find_class gives would set attributes of this module's own classes."""
    for name in (b"cnumpy\ndtype\n", b"ccopy_reg\n_reconstructor\n", b"c_codecs\nencode\n", b"cchumpy.ch\nCh\n"):
        (tmp_path / "change.pkl").write_bytes(b"\x80\x02" + name + b"}U\x05plainK\x01sb.")
        with pytest.raises(ModelFileError):
            read_pickle(tmp_path / "change.pkl")
    test_arrays_come_back_whatever_the_protocol(tmp_path, 2)


def test_every_truncation_is_told(tmp_path):
    whole = pickle.dumps(ARRAYS, protocol=2)
    path = tmp_path / "model.pkl"
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(ModelFileError) as caught:
            read_pickle(path)
        assert "model.pkl is damaged" in str(caught.value) or whole[:length].endswith(b".")


def test_flipped_bytes_never_crash(tmp_path):
    whole = bytearray(pickle.dumps(ARRAYS, protocol=2))
    random = np.random.default_rng(0)
    path = tmp_path / "model.pkl"
    for _ in range(2000):
        broken = whole.copy()
        broken[random.integers(len(broken))] = random.integers(256)
        path.write_bytes(broken)
        try:
            read_pickle(path)
        except ModelFileError as error:
            assert str(error).startswith("model.pkl")


def test_numbers_in_the_file_do_not_take_memory(tmp_path):
    """A place of 2^32 - 2 in the memo makes Python's own reader ask for 64 GiB."""
    (tmp_path / "model.pkl").write_bytes(b"\x80\x02Nr\xfe\xff\xff\xff.")
    assert read_pickle(tmp_path / "model.pkl") is None


def test_lists_of_lists_of_one_list_take_no_time(tmp_path):
    held = [np.zeros(2)]
    for _ in range(60):
        held = [held, held]
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(held))
    assert len(read_pickle(tmp_path / "model.pkl")) == 2
    held.append(held)
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(held))
    with pytest.raises(ModelFileError, match="damaged"):
        read_pickle(tmp_path / "model.pkl")


def test_arrays_that_claim_more_than_they_hold(tmp_path):
    whole = pickle.dumps(np.arange(4.0), protocol=2)
    (tmp_path / "model.pkl").write_bytes(whole.replace(b"K\x04\x85", b"K\x09\x85"))
    with pytest.raises(ModelFileError, match=r"model\.pkl is damaged"):
        read_pickle(tmp_path / "model.pkl")


def test_npz_with_arrays_and_objects(tmp_path):
    matrix = sparse.csc_matrix(np.eye(3))
    np.savez_compressed(tmp_path / "model.npz", v=ARRAYS["fortran"], j=np.array(matrix), d=np.array({"a": np.ones(2)}))
    held = read_npz(tmp_path / "model.npz")
    assert np.array_equal(held["v"], ARRAYS["fortran"])
    assert np.array_equal(held["j"], np.eye(3))
    assert held["d"]["a"].tolist() == [1, 1]


def test_npy_of_a_dict(tmp_path):
    np.save(tmp_path / "landmarks.npy", np.array({"lmk_face_idx": np.arange(3)}))
    assert read_npy(tmp_path / "landmarks.npy")["lmk_face_idx"].tolist() == [0, 1, 2]
    np.save(tmp_path / "plain.npy", ARRAYS["big_endian"])
    assert np.array_equal(read_npy(tmp_path / "plain.npy"), ARRAYS["big_endian"])


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 broken"])
def test_damaged_archives(tmp_path, content):
    (tmp_path / "model.npz").write_bytes(content)
    with pytest.raises(ModelFileError, match=r"model\.npz is damaged"):
        read_npz(tmp_path / "model.npz")


def test_truncated_archives_and_members(tmp_path):
    path = tmp_path / "model.npz"
    np.savez(path, v=np.arange(1000.0))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelFileError):
        read_npz(path)
    member = io.BytesIO()
    np.save(member, np.arange(1000.0))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("v.npy", member.getvalue()[:500])
    with pytest.raises(ModelFileError, match=r"v\.npy in model\.npz is damaged"):
        read_npz(path)


def test_archives_that_would_fill_the_memory(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("morphable.unpickling.MAX_BYTES", 10**6)
    np.savez_compressed(tmp_path / "bomb.npz", v=np.zeros(10**6))
    with pytest.raises(ModelFileError, match="of memory"):
        read_npz(tmp_path / "bomb.npz")


def test_tensors_are_left_unread(tmp_path):
    """As in `landmark_embedding.npy`, whose outline is given in PyTorch's tensors."""
    stream = b"\x80\x02}U\x01tctorch._utils\n_rebuild_tensor_v2\nU\x01x\x85Rs."
    (tmp_path / "tensor.pkl").write_bytes(stream)
    assert isinstance(read_pickle(tmp_path / "tensor.pkl")["t"], OpaqueObject)
