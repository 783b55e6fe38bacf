"""What is read from files is trusted in nothing: no pickle, no claim that the file does not hold, one-line refusals."""

import ast
import io
import json
import pickle
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest

from jaxmarl.core.files import read_arrays, read_json, read_text
from jaxmarl.evaluation import load_report
from jaxmarl.evaluation.tables import load_table
from jaxmarl.interop import load_game, read_nfg
from jaxmarl.training.dataset import create_dataset, open_dataset

SOURCES = sorted(Path(__file__).parents[2].joinpath("jaxmarl").rglob("*.py"))
NESTED = "[" * 200_000


class Opens:
    """Unpickled, it would leave a file behind."""

    def __reduce__(self):
        return (open, ("opened", "w"))


def npy(header: dict, data: bytes = b"") -> bytes:
    """A file of NumPy's format with any header."""
    text = (repr(header) + "\n").encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + data


def npz(**members: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(f"{name}.npy", data)
    return stream.getvalue()


HUGE = npy({"descr": "<f8", "fortran_order": False, "shape": (10**12,)})
BAD_ARRAYS = {
    "nothing": b"",
    "no array": b"payoffs",
    "a pickle": pickle.dumps(Opens()),
    "an array of objects": npy({"descr": "|O", "fortran_order": False, "shape": (1,)}, pickle.dumps([Opens()])),
    "objects in an archive": npz(
        payoffs=npy({"descr": "|O", "fortran_order": False, "shape": ()}, pickle.dumps(Opens()))
    ),
    "a claim of terabytes": HUGE,
    "the same in an archive": npz(payoffs=HUGE),
    "a negative size": npy({"descr": "<f8", "fortran_order": False, "shape": (-1,)}),
    "half a header": HUGE[:20],
    "half an archive": npz(payoffs=npy({"descr": "<f8", "fortran_order": False, "shape": (1,)}, b"\0" * 8))[:60],
    "a header of code": npy({"descr": "<f8"}).replace(b"{", b"f("),
}


@pytest.mark.parametrize("data", BAD_ARRAYS.values(), ids=BAD_ARRAYS)
@pytest.mark.parametrize("suffix", [".npz", ".npy"])
def test_arrays_that_cannot_be_trusted_are_refused_in_one_line(tmp_path, monkeypatch, data, suffix):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / f"game{suffix}"
    path.write_bytes(data)
    for read in (read_arrays, load_game):
        with pytest.raises(ValueError, match=re.escape(str(path))) as refusal:
            read(path)
        assert "\n" not in str(refusal.value)
    assert not Path("opened").exists()


def test_an_archive_that_unpacks_to_more_than_is_allowed_is_refused(tmp_path):
    path = tmp_path / "bomb.npz"
    zeros = npy({"descr": "<f8", "fortran_order": False, "shape": (2**20,)}, bytes(2**23))
    path.write_bytes(npz(a=zeros, b=zeros))
    assert path.stat().st_size < 50_000
    assert read_arrays(path)["b"].shape == (2**20,)
    with pytest.raises(ValueError, match=r"size of the arrays must be at most 1000000 bytes, got 16777"):
        read_arrays(path, most=10**6)


def test_names_in_an_archive_lead_nowhere(tmp_path):
    path = tmp_path / "inner" / "game.npz"
    path.parent.mkdir()
    one = npy({"descr": "<f8", "fortran_order": False, "shape": (1,)}, bytes(8))
    path.write_bytes(npz(**{"../../outside": one, "/absolute": one}))
    assert set(read_arrays(path)) == {"../../outside", "/absolute"}
    assert [entry.name for entry in tmp_path.rglob("*")] == ["inner", "game.npz"]


def test_texts_and_json_have_a_limit_of_size_and_depth(tmp_path):
    path = tmp_path / "file.json"
    path.write_text(json.dumps({"a": [1]}))
    assert read_json(path) == {"a": [1]}
    with pytest.raises(ValueError, match="must be a file of at most 5 bytes, got 'more'"):
        read_text(path, most=5)
    for text, said in ((NESTED, "nested too deeply"), ("{", "is not JSON"), ("", "is not JSON")):
        path.write_text(text)
        with pytest.raises(ValueError, match=said) as refusal:
            read_json(path)
        assert "\n" not in str(refusal.value)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="is not a text"):
        read_json(path)


@pytest.mark.parametrize(
    "text",
    [
        'NFG 1 R "x" { "a" "b" } { 1000000000000 2 }\n1 2',
        'NFG 1 R "x" { "a" "b" } { 0 2 }\n',
        'NFG 1 R "x" { "a" } { 1 } 1e999999999',
        'NFG 1 R "x" { "a" } { 1 } nan',
        'NFG 1 R "x" { "a" } { 1 } 1/0',
        'NFG 1 R "x" { "a" } { 1 } 1/1e-320',
        'NFG 1 R "x" { "a" } { ' + "9" * 10_000 + " } 1",
        'NFG 1 R "x" ' + "{ " * 100_000,
    ],
)
def test_gambit_files_that_claim_too_much_are_refused_at_once(tmp_path, text):
    path = tmp_path / "game.nfg"
    path.write_text(text)
    with pytest.raises(ValueError, match="is not a Gambit strategic-form file") as refusal:
        read_nfg(path)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("text", ["", "[]", "null", NESTED, '{"schema_version": 1}', "\x00"])
def test_reports_tables_and_datasets_that_are_none_are_refused_in_one_line(tmp_path, text):
    for name in ("report.json", "dataset.json", "table.txt"):
        (tmp_path / name).write_text(text)
    for read, path in ((load_report, tmp_path), (open_dataset, tmp_path), (load_table, tmp_path / "table.txt")):
        with pytest.raises(ValueError, match=re.escape(str(tmp_path))) as refusal:
            read(path)
        assert "\n" not in str(refusal.value)


def test_a_chunk_of_a_dataset_is_no_pickle(tmp_path):
    dataset = create_dataset(tmp_path / "data")
    dataset.append({"x": np.zeros((2, 3))})
    (tmp_path / "data" / "chunk-00000.npz").write_bytes(BAD_ARRAYS["objects in an archive"])
    with pytest.raises(ValueError, match="without Python objects"):
        dataset.read(0)


def test_nothing_in_the_package_unpickles_files():
    """Pickles pass between the processes of one run, which trust each other (`training.processes`): no file is one."""
    forbidden = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
    for path in SOURCES:
        nodes = list(ast.walk(ast.parse(path.read_text())))
        imported = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
        imported |= {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
        assert path.parts[-2:] == ("training", "processes.py") or not imported & forbidden, path
        assert "extractall" not in {node.attr for node in nodes if isinstance(node, ast.Attribute)}, path
        for node in nodes:
            if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
                assert ast.unparse(node.value) == "False", path
